"""The lowest room: records, settings, the store, readers, photos, ingest, templates, jobs."""
