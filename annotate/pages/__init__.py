"""The staff pages; each module has `page()`, which app.py calls."""
