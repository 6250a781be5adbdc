"""All rules, and the closed set of what a finding may be called."""

from __future__ import annotations

from analyzer.engine.names import AUTHORIZATION, CREDENTIAL, KEY, PASSWORD, SECRET, TOKEN
from analyzer.engine.rule import Risk, Rule
from analyzer.engine.structures import STRUCTURES
from analyzer.engine.tokens import TOKENS

RULES: tuple[Rule, ...] = TOKENS + STRUCTURES
RULES_VERSION = "rules-2026.11.3"

TYPE_OF_KIND = {
    PASSWORD: "Password",
    SECRET: "Secret",
    TOKEN: "Token",
    KEY: "Key",
    CREDENTIAL: "Credential",
    AUTHORIZATION: "Authorization",
}
SECRET_TYPES: frozenset[str] = (
    frozenset(rule.secret_type for rule in RULES) | frozenset(TYPE_OF_KIND.values()) | {"None"}
)
__all__ = ["RULES", "RULES_VERSION", "SECRET_TYPES", "TYPE_OF_KIND", "Risk", "Rule"]
