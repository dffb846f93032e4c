"""The tests of the sample app, as a site has them: see docs/testing.md of protoo_flask."""
