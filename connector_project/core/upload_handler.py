"""Files that staff send: kept in memory while the request lasts, never on disk. Everybody else's are read over."""

from typing import Any

from django.core.files.uploadhandler import MemoryFileUploadHandler

from connector_project.core.body_limits import LARGEST_STAFF_BODY, STAFF_PAGES


class StaffUploadHandler(MemoryFileUploadHandler):
    """A body over the limit is refused before this; a file that is not kept is missing from `request.FILES`."""

    def handle_raw_input(  # Django passes them by position
        self, input_data: Any, meta: Any, content_length: int, boundary: Any, encoding: Any = None
    ) -> None:
        path = self.request.path if self.request else ""
        self.activated = path.startswith(STAFF_PAGES) and content_length <= LARGEST_STAFF_BODY
