"""What meets Flask: the views of the route, authorization, contexts, the site's listeners."""
