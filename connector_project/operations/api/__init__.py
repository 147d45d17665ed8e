"""The read-only REST API, `/api/v1/`: one module per resource, listed in `urls`."""
