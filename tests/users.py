"""Users of the admin, as tests need them."""

from django.contrib.auth.models import Group

from tenants.models import User


def create_user(name: str, group: str) -> User:
    """Return a new member of a group, who can log in to the admin with the password "x"."""
    user = User.objects.create_user(name, password="x", is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    return user
