/* Loads the modules of the sample app. */
import { readFile } from "node:fs/promises";

const loaded = new Map(); // name -> URL with the text of the module

/**
 * Import a module of sample_app/static by its name. Node before 20.19 does not recognize a .js file
 * as a module by its content, so each module becomes a URL with its text.
 */
export async function load(name) {
  return import(await urlOf(name));
}

async function urlOf(name) {
  if (!loaded.has(name)) loaded.set(name, encode(name));
  return loaded.get(name);
}

async function encode(name) {
  const file = new URL(`../../sample_app/static/${name}`, import.meta.url);
  let text = await readFile(file, "utf8");
  for (const [path, imported] of text.matchAll(/"\.\/([\w-]+\.js)"/g)) {
    text = text.replaceAll(path, JSON.stringify(await urlOf(imported)));
  }
  return `data:text/javascript,${encodeURIComponent(text)}`;
}
