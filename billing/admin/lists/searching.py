"""Searches that an index answers: accounts by the beginning of a name or address, documents by their whole number."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Q, QuerySet

from billing.users import User, fields_of_names

ACCOUNTS_FOUND = 50
SHOWN = "Beginning of a username or e-mail"


def accounts_beginning(term: str, most: int = ACCOUNTS_FOUND) -> QuerySet[User]:
    """Those whose username or e-mail address begins so, in whatever case."""
    return User.objects.filter(_names("istartswith", term)).order_by("pk")[:most]


def _names(lookup: str, term: str) -> Q:
    return reduce(or_, (Q(**{f"{field}__{lookup}": term}) for field in fields_of_names()))


def _exact(term: str) -> list[int]:
    named = User.objects.filter(_names("iexact", term))
    return list(named.values_list("pk", flat=True)[:ACCOUNTS_FOUND])


def account_ids(term: str) -> list[int]:
    """The account of that name or address if there is one, or else those that begin so."""
    return _exact(term) or suggested(term)


def suggested(term: str) -> list[int]:
    """The account of that name or address, and those that begin so."""
    begun = accounts_beginning(term).values_list("pk", flat=True)
    return list(dict.fromkeys([*_exact(term), *begun]))


def found(rows: QuerySet[Any], term: str, account: str, exact: Sequence[str] = ()) -> QuerySet[Any]:
    """Rows of the accounts that the term names, and those of which a column is the term itself.

    `account` is the path to the account's id. Numbers of documents are written in capitals.
    """
    term = term.strip()
    if not term:
        return rows
    matches = [Q(**{f"{path}__in": {term, term.upper()}}) for path in exact]
    # A number names one document: whoever types one does not mean accounts, and is spared their search.
    for match in matches:
        if (hits := rows.filter(match)).order_by().values("pk")[:1].exists():
            return hits
    return rows.filter(**{f"{account}__in": account_ids(term)})
