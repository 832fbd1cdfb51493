"""Chains and their tokens, and the keys that addresses are made of."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html_join

from billing.admin.action_pages import ActionPages, confirmed_action
from billing.admin.base import ModelAdmin, ModelForm, ReadOnly
from billing.models import Chain, DepositKey, Token
from billing.payments.chains import addresses, reorganisation
from billing.payments.chains.configuration import rpc_url_of, xpub_of

COLOURS = {"ok": "success", "stalled": "danger", "parked": "danger", "off": "default"}
SHOWN_ADDRESSES = 3


class ChainForm(ModelForm[Chain]):
    def clean_genesis_hash(self) -> str:
        given: str = self.cleaned_data["genesis_hash"].strip().lower()
        digits = given.removeprefix("0x")
        if len(digits) != 64 or set(digits) - set("0123456789abcdef"):
            raise ValidationError("A hash begins with 0x, and 64 digits and letters from a to f follow.")
        return f"0x{digits}"


@admin.register(Chain)
class ChainAdmin(ActionPages[Chain]):
    """A new chain is read from where it stands then."""

    form = ChainForm
    compressed_fields = False
    warn_unsaved_form = True
    list_display = ["name", "chain_id", "state_shown", "cursor_number", "head_number", "read_at"]
    fieldsets = [
        (None, {"fields": [("name", "chain_id"), "genesis_hash", "is_enabled"]}),
        ("When a transfer counts", {"fields": [("confirmations", "use_finalized")]}),
        ("How it stands", {"fields": ["configured", ("cursor_number", "head_number"), ("head_at", "read_at"), "why"]}),
    ]
    readonly_fields = ["configured", "cursor_number", "head_number", "head_at", "read_at", "why"]
    actions_detail = ["release"]

    def get_readonly_fields(self, request: HttpRequest, obj: Chain | None = None) -> list[str]:
        fixed = ["chain_id", "genesis_hash"] if obj is not None and obj.cursor_number is not None else []
        return [*self.readonly_fields, *fixed]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def sensible_actions(self, row: Chain) -> set[str]:
        return {"release"} if row.parked_at else set()

    @confirmed_action(
        "Read on",
        "The chain was reorganised behind what had been read. What was gone was taken back, and those invoices are "
        "open again. Look at the transfers that were reversed, and at the chain itself, before it is read on.",
        permission="change",
        icon="play_arrow",
    )
    def release(self, request: HttpRequest, chain: Chain) -> HttpResponse:
        reorganisation.release(chain)
        self.log_change(request, chain, f"Read on after: {chain.parked_because}")
        return self.back(request, chain, f"{chain} is read on from block {chain.cursor_number}.")

    @admin.display(description="state")
    def state_shown(self, row: Chain) -> str:
        return row.state(timezone.now()) if row.is_enabled else "off"

    state_shown.label = COLOURS  # type: ignore[attr-defined]

    @admin.display(description="in the environment")
    def configured(self, row: Chain) -> str:
        key = "an extended public key" if xpub_of(row) else "no key (CHAIN_XPUBS): nothing can be paid on it"
        node = "a node" if rpc_url_of(row) else "no node (CHAIN_RPC_URLS)"
        return f"{key}, {node}"

    @admin.display(description="trouble")
    def why(self, row: Chain) -> str:
        stalled = f"Stalled since {row.stalled_since:%Y-%m-%d %H:%M:%S}." if row.stalled_since else ""
        return f"{row.parked_because} {stalled}".strip() or "none"


class TokenForm(ModelForm[Token]):
    def clean_contract(self) -> str:
        try:
            return addresses.checksummed(self.cleaned_data["contract"].strip())
        except addresses.NotAnAddress:
            raise ValidationError("This is no address, or it has a mistake: copy it again.") from None


@admin.register(Token)
class TokenAdmin(ModelAdmin[Token]):
    """What was asked for in a token stays in it: chain, contract, decimals and currency are fixed then."""

    form = TokenForm
    compressed_fields = False
    warn_unsaved_form = True
    list_display = ["code", "symbol", "chain", "currency", "contract", "is_enabled"]
    list_filter = ["chain", "is_enabled"]
    list_select_related = ["chain"]
    search_fields = ["code", "symbol", "contract"]
    fieldsets = [
        (None, {"fields": [("code", "symbol"), ("chain", "contract"), ("decimals", "currency")]}),
        ("Terms", {"fields": ["tolerance", "is_enabled"]}),
    ]
    FIXED_ONCE_ASKED_FOR = ("code", "chain", "contract", "decimals", "currency")

    def get_readonly_fields(self, request: HttpRequest, obj: Token | None = None) -> tuple[str, ...]:
        return self.FIXED_ONCE_ASKED_FOR if obj is not None and obj.payment_requests.exists() else ()

    def has_delete_permission(self, request: HttpRequest, obj: Token | None = None) -> bool:
        return (
            obj is not None and bool(super().has_delete_permission(request, obj)) and not obj.payment_requests.exists()
        )


@admin.register(DepositKey)
class DepositKeyAdmin(ReadOnly, ModelAdmin[DepositKey]):
    """The first addresses are shown to be compared with the wallet's."""

    list_display = ["__str__", "chain", "next_index"]
    list_select_related = ["chain"]
    fields = ["chain", "xpub", "next_index", "first_addresses"]
    readonly_fields = ["first_addresses"]

    @admin.display(description="the wallet's first addresses")
    def first_addresses(self, row: DepositKey) -> Any:
        found = [(f"{index}: {addresses.address_at(row.xpub, index)}",) for index in range(SHOWN_ADDRESSES)]
        return format_html_join("", "<code>{}</code><br>", found)
