"""Actions that show first what they do: done and rolled back for the page, then done just as it was shown."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.db import transaction
from django.http import HttpRequest, HttpResponse

from billing.admin.action_pages import ActionPages
from billing.admin.base import M
from billing.api.sentences import to_staff
from billing.invoicing.ledger import BillingError

SEEN = "seen"


@dataclass(frozen=True, slots=True)
class Done:
    said: str
    """What was done, as staff read it before and after."""
    is_plain: bool = False
    """It is what the form says, so nobody has to look at it first."""
    is_news: bool = True
    """Something was written."""

    def digest(self) -> str:
        return hashlib.sha256(self.said.encode()).hexdigest()


class PreviewedActions(ActionPages[M]):
    def previewed(
        self,
        request: HttpRequest,
        row: M,
        form: forms.Form,
        act: Callable[[dict[str, Any]], Done],
        *,
        title: str,
        button: str,
        about: str,
    ) -> HttpResponse:
        """Ask by a form, then show what `act` does with it, and do it once that was seen.

        `act` gets the form's values and may raise BillingError. Where it does something else than was seen meanwhile,
        that is shown.
        """
        shown = seen = ""
        if form.is_valid():
            try:
                with transaction.atomic():
                    done = act(form.cleaned_data)
                    is_seen = done.is_plain or request.POST.get(SEEN) == done.digest()
                    if not is_seen:
                        transaction.set_rollback(True)
                    elif done.is_news:
                        self.log_change(request, row, done.said)
            except BillingError as refusal:
                form.add_error(None, f"{to_staff(refusal)}.")
            else:
                if is_seen:
                    return self.back(request, row, done.said)
                shown, seen = done.said, done.digest()
        return self.page(
            request,
            row,
            "form.html",
            title,
            form=form,
            button=f"{button}, as it is said here" if shown else button,
            about=shown or about,
            hidden={SEEN: seen} if seen else {},
        )
