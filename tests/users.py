"""People of the house, as tests need them."""

from django.contrib.auth.models import Group

from tenants.models import User


def enlist(name: str, group: str) -> User:
    """Return somebody new of a group, who may enter the admin with the password "x"."""
    user = User.objects.create_user(name, password="x", is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    return user
