"""Probes of an object store that nobody has probed: what was found is given, and written down as the command does it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from holdfast.core.access import Caller
from holdfast.core.probe import RULES, Finding, RuleOutcome
from holdfast.service.store import StoreService
from holdfast.service.transaction import Transactions

if TYPE_CHECKING:
    from holdfast.settings import Platform
    from holdfast.wire.store import StoreProbe


def record_probe(platform: Platform, **outcomes: RuleOutcome) -> StoreProbe:
    """Write down a probe of the platform's store: every rule kept but those that are named, with `_` for a space."""
    findings = [
        Finding(rule, outcomes.get(rule.replace(" ", "_"), RuleOutcome.KEPT), "as the test says") for rule in RULES
    ]
    limit = timedelta(seconds=platform.settings.store_probe_limit_s)
    caller = Caller("system:tests")
    return StoreService(Transactions(platform.engine, caller), platform.objects, limit).record_probe(findings, [])
