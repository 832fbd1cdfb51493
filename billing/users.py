"""Users, whichever model the host product has for them (AUTH_USER_MODEL), and what they are called there.

`User` is that model. Import it from here wherever its rows are read: Django's own class has none where it is replaced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model

if TYPE_CHECKING:
    from django.contrib.auth.models import User
else:

    def __getattr__(name: str) -> Any:
        if name == "User":  # when it is imported, which is after the models are
            return get_user_model()
        raise AttributeError(name)


__all__ = ["User", "by_name", "fields_of_names", "label", "name_field", "page", "right"]


def name_field() -> str:
    """The field that names a user: `username`, or `email` in many products."""
    return get_user_model().USERNAME_FIELD


def fields_of_names(path: str = "") -> list[str]:
    """The fields by which people look for a user, behind a path such as `account__`: the name, and the e-mail."""
    return list(dict.fromkeys((f"{path}{name_field()}", f"{path}email")))


def by_name(name: str) -> User | None:
    """The user of exactly this name."""
    return get_user_model()._default_manager.filter(**{name_field(): name}).first()


def label() -> str:
    """What the admin's URLs call the model, such as `auth_user`."""
    about = get_user_model()._meta
    return f"{about.app_label}_{about.model_name}"


def page(name: str) -> str:
    """The admin's page of a user, as `reverse` knows it: `change`, or one of our own."""
    return f"admin:{label()}_{name}"


def right(action: str) -> str:
    """The permission of that action on users, such as `auth.view_user`."""
    about = get_user_model()._meta
    return f"{about.app_label}.{action}_{about.model_name}"
