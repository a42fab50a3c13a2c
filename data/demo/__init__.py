"""The demo: rendered photos of parts on a shop floor, exact labels, captions in two languages, known errors."""
