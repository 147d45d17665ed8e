"""The web process under gunicorn: slow clients occupy no thread, and its log is redacted."""
