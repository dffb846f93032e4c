"""A terminal: lines are typed below, while messages come in above."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, Callable, Iterator

from .completion import Completion
from .output import Output

PROMPT = "> "
_HISTORY_LENGTH = 1000


class Terminal:
    """Reads lines with history and completion: by prompt_toolkit if it is installed.

    Where stdin is no terminal, it reads lines and shows no prompt.
    """

    def __init__(self, output: Output, completion: Completion, history: str) -> None:
        self._output = output
        self._completion = completion
        self._history = os.path.expanduser(history)
        self.is_interactive = sys.stdin.isatty() and sys.stdout.isatty()
        self._is_asking = False
        self._buffer: Callable[[], str] = str

    def print(self, text: str) -> None:
        """Show a line above the one that is being typed."""
        if self._is_asking:
            self._output.write(f"\r\x1b[K{text}\n{PROMPT}{self._buffer()}")
        else:
            self._output.write(text + "\n")

    def lines(self) -> Iterator[str]:
        """Return the lines, as they are typed."""
        if not self.is_interactive:
            return iter(sys.stdin)
        try:
            import prompt_toolkit  # noqa: F401
        except ImportError:
            return self._read_plainly()
        return self._read_with_prompt_toolkit()

    def _read_with_prompt_toolkit(self) -> Iterator[str]:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import Completer
        from prompt_toolkit.completion import Completion as Found
        from prompt_toolkit.history import FileHistory
        from prompt_toolkit.patch_stdout import patch_stdout

        completion = self._completion

        class Words(Completer):
            def get_completions(self, document: Any, complete_event: Any) -> Iterator[Found]:
                line = document.text_before_cursor
                for word in completion.complete(line):
                    yield Found(word, -len(line.split(" ")[-1]))

        history = FileHistory(self._history)
        for line in history.load_history_strings():
            completion.learn(line)
        session: PromptSession[str] = PromptSession(
            history=history, completer=Words(), complete_while_typing=False
        )
        with patch_stdout():
            while True:
                with contextlib.suppress(KeyboardInterrupt):
                    try:
                        line = session.prompt(PROMPT)
                    except EOFError:
                        return
                    completion.learn(line)
                    yield line

    def _read_plainly(self) -> Iterator[str]:
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(ImportError):  # there is none on Windows
                self._use_readline(stack)
            while True:
                try:
                    self._is_asking = True
                    line = input(PROMPT)
                except EOFError:
                    return
                except KeyboardInterrupt:
                    sys.stdout.write("\n")
                    continue
                finally:
                    self._is_asking = False
                self._completion.learn(line)
                yield line

    def _use_readline(self, stack: contextlib.ExitStack) -> None:
        import readline

        with contextlib.suppress(OSError):
            readline.read_history_file(self._history)
        for index in range(readline.get_current_history_length()):
            self._completion.learn(readline.get_history_item(index + 1) or "")

        def complete(word: str, number: int) -> str | None:
            line = readline.get_line_buffer()[: readline.get_endidx()]
            found = self._completion.complete(line)
            return found[number] if number < len(found) else None

        readline.set_completer(complete)
        readline.set_completer_delims(" ")
        is_libedit = "libedit" in (readline.__doc__ or "")
        readline.parse_and_bind("bind ^I rl_complete" if is_libedit else "tab: complete")
        readline.set_history_length(_HISTORY_LENGTH)
        self._buffer = readline.get_line_buffer

        def keep() -> None:
            with contextlib.suppress(OSError):
                readline.write_history_file(self._history)

        stack.callback(keep)
