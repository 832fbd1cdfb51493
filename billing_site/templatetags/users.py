"""Where the admin's pages of a user are: their names carry the user model's."""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import reverse

from billing.users import page

register = template.Library()


@register.simple_tag
def user_page(name: str, *args: Any) -> str:
    return reverse(page(name), args=args)
