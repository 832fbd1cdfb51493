"""The site itself: its names, its secrets, who stands before it, mails, log-in."""

from billing_site.environment import Group
from billing_site.environment import patterns as like
from billing_site.variables.engines import EMBEDDED_POSTGRES, PLACES

site = Group("The site")
SECRET_KEY = site.secret_key(
    "SECRET_KEY",
    "Signs sessions, links in mails and the checksum in API keys. The same for every process.",
    made_in=PLACES.local if EMBEDDED_POSTGRES else None,
    unset="made once in `.local`; with DATABASE_URL it has to be set",
)
SECRET_KEY_FALLBACKS = site.words(
    "SECRET_KEY_FALLBACKS", [], like.TOKEN, "Former secret keys: API keys and links made under them stay valid."
)
DEBUG = site.flag("DEBUG", False, "Shows errors with their values to everybody. Never in production.")
ALLOWED_HOSTS = site.words(
    "ALLOWED_HOSTS",
    ["localhost", "127.0.0.1", "[::1]"],
    like.HOST,
    "The site's names, as browsers and clients say them.",
)
CSRF_TRUSTED_ORIGINS = site.words(
    "CSRF_TRUSTED_ORIGINS", [], like.ORIGIN, "Other origins whose pages may send forms here."
)
CORS_ALLOWED_ORIGINS = site.words(
    "CORS_ALLOWED_ORIGINS",
    [],
    like.EXACT_ORIGIN,
    "Origins whose pages may call `/api/v1/` with an API key ([clients.md](clients.md#from-a-page-of-another-origin)).",
)
SITE_URL = site.text(
    "SITE_URL",
    like.SITE,
    "Where links in mails lead, and in refusals that proxies pass on.",
    default="http://localhost:8000",
)
SIGN_UP = site.flag("SIGN_UP", True, "Whoever comes may make an account, on the default plan.")
STATIC_ROOT = site.folder(
    "STATIC_ROOT",
    "Where `manage.py collectstatic` puts static files, and where they are served from then, compressed.",
    unset="they are served from where they lie",
)
SANDBOX = site.flag(
    "SANDBOX", False, "Mounts small metered endpoints to try things with; `make run` sets it. Not in production."
)

proxy = Group("Proxy and HTTPS")
HTTPS = proxy.flag("HTTPS", False, "The site is served over HTTPS only: secure cookies, redirects, a year of HSTS.")
BEHIND_PROXY = proxy.flag(
    "BEHIND_PROXY", False, "A proxy stands before the site and sets X-Forwarded-Proto, whatever clients send."
)
CLIENT_ADDRESS_HEADER = proxy.text(
    "CLIENT_ADDRESS_HEADER", like.HEADER, "The header in which the proxy always writes the client's address."
)
TRUSTED_PROXIES = proxy.networks(
    "TRUSTED_PROXIES",
    "Who may ask at `/api/v1/usage/authorize` about requests of others ([integrations](integrations/README.md)).",
    unset="nobody",
)
AUTHORIZE_PREFLIGHTS = proxy.flag(
    "AUTHORIZE_PREFLIGHTS", False, "Lets browsers' CORS preflights by there, which bring no key."
)

mails = Group("Mails")
EMAIL = mails.email(
    "EMAIL_URL",
    "The provider of mails ([mails.md](mails.md)).",
    backend="billing.mails.mailbox.Mailbox",
    unset="mails stay in the mailbox that staff read in the admin",
)
DEFAULT_FROM_EMAIL = mails.text(
    "DEFAULT_FROM_EMAIL", like.SENDER, "The sender of mails.", default="Metered API <no-reply@localhost>"
)
STAFF_EMAIL = mails.text(
    "STAFF_EMAIL", like.SENDER, "Gets what staff have to act on in time, such as disputes.", unset="nobody"
)
EMAIL_CONFIRMED_FIRST = mails.flag(
    "EMAIL_CONFIRMED_FIRST", False, "An address is confirmed before the first log-in, or else in its own time."
)
