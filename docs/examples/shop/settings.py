"""The site's settings, and the shop's."""

from billing_site.settings import *  # noqa: F403

ROOT_URLCONF = "shop.urls"
METERED_IDENTIFY = "shop.tokens.account_of"
TOKEN_SECRET = "in a real product this comes from the environment"
