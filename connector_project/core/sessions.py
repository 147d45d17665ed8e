"""Sessions in the database, of which a copy of the database opens none (`SESSION_ENGINE`).

The session key in the cookie is stored as its digest, and the data is encrypted: a message may show a link or a key
once. Django's `Session.get_decoded()` cannot read the data; `SessionStore().decode(row.session_data)` can.
"""

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.sessions.backends import db
from django.utils import timezone

from connector_project.core import encrypted_fields
from connector_project.core.secret_tokens import digest

KEY_LENGTH = 40  # of Django's column: 160 bits of the digest


def stored_key(session_key: str | None) -> str:
    """Return what is stored of the session key in a cookie."""
    return digest(session_key or "")[:KEY_LENGTH]


class SessionStore(db.SessionStore):
    """Django's own store; only how a row is found and what it contains differs."""

    def encode(self, session_dict: dict[str, Any]) -> str:
        return encrypted_fields.encrypt(super().encode(session_dict))

    def decode(self, session_data: bytes | str) -> dict[str, Any]:
        """Return the data; none if it cannot be decrypted, which signs the user out."""
        text = encrypted_fields.decrypt(str(session_data))
        return super().decode(text) if text is not None else {}

    def exists(self, session_key: str) -> bool:
        return bool(super().exists(stored_key(session_key)))

    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key is not None:
            super().delete(stored_key(key))

    def create_model_instance(self, data: Any) -> Any:
        row = super().create_model_instance(data)
        row.session_key = stored_key(self.session_key)
        return row

    def _get_session_from_db(self) -> Any:
        current = self.model.objects.filter(expire_date__gt=timezone.now())
        row = current.filter(session_key=stored_key(self.session_key)).first()
        if row is None:
            self._session_key = None
        return row

    # Inherited, these would store the cookie's key itself.

    async def aexists(self, session_key: str) -> bool:
        return await sync_to_async(self.exists)(session_key)

    async def adelete(self, session_key: str | None = None) -> None:
        await sync_to_async(self.delete)(session_key)

    async def acreate_model_instance(self, data: Any) -> Any:
        return await sync_to_async(self.create_model_instance)(data)

    async def _aget_session_from_db(self) -> Any:
        return await sync_to_async(self._get_session_from_db)()
