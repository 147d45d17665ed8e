"""The staff user; a model of our own, so that it can grow fields later."""

from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """An operator or support agent. Clients have no account here: they use their activation link."""
