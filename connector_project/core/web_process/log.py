"""gunicorn's logger, in our format and redacted: it logs the URLs of requests that failed outside Django."""

from typing import Any

from gunicorn.config import Config
from gunicorn.glogging import Logger

from connector_project import env
from connector_project.core.logging import make_formatter


class RedactedLogger(Logger):
    """Whatever handlers gunicorn's options ask for, each one redacts."""

    def setup(self, cfg: Config) -> Any:
        super().setup(cfg)
        formatter = make_formatter(style=env.log_format())
        for log in (self.error_log, self.access_log):
            for handler in log.handlers:
                handler.setFormatter(formatter)
