"""What a route serves, as a value: read from the API's answers, and sent to change a route.

    Plan(arms=(Arm(model="wine-tree", version="3", weight=90), Arm("canary", model="wine-net", alias="next", weight=10)))

Weights are in percent. A plan never changes; a route is given another one.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

PRIMARY = "primary"
"""Name of the first arm where nobody named it."""


class Target(Struct, frozen=True, kw_only=True):
    """A version, named by its number or by an alias that the route then follows; in answers both are there.

    Attributes:
        version: A number as text.
        alias: Empty: a fixed version.
    """

    model: str
    version: str | None = None
    alias: str | None = None

    def __str__(self) -> str:
        return named(self.model, self.version, self.alias)

    def body(self) -> dict[str, Any]:
        """As it is sent: the alias if there is one, else the version."""
        chosen = {"alias": self.alias} if self.alias else {"version": self.version}
        return {"model": self.model, **chosen}


class Arm(Struct, frozen=True):
    """One of the versions that share a route's records.

    Attributes:
        name: Unique in the plan; results carry it.
        weight: Share of the entities, percent; all arms together have 100.
    """

    name: str = PRIMARY
    model: str = ""
    version: str | None = None
    alias: str | None = None
    weight: float = 100.0

    @property
    def target(self) -> Target:
        """What it scores with."""
        return Target(model=self.model, version=self.version, alias=self.alias)

    def body(self) -> dict[str, Any]:
        """As it is sent."""
        return {"name": self.name, **self.target.body(), "weight": self.weight}


class Rule(Struct, frozen=True):
    """Records for which the CEL expression `when` holds go to `arm`; the first rule that matches wins."""

    when: str
    arm: str


class Speculation(Struct, frozen=True):
    """All arms score every record, and a decider picks within `timeout_ms`."""

    decider: str
    timeout_ms: int = 150


class Plan(Struct, frozen=True, kw_only=True):
    """See the module.

    Attributes:
        arms: At least one; the first is the primary.
        salt: Another salt deals all entities anew.
        pins: Entity -> name of the arm that scores it whatever the weights.
        dark: Versions that score too; their results go to the stream's dark topic only.
        fallback: Scores the records that their arm could not.
        digest: Names what the plan says; approvals bind to it. Only in answers.
    """

    arms: tuple[Arm, ...] = ()
    salt: str = ""
    pins: dict[str, str] = {}  # msgspec copies an empty default
    rules: tuple[Rule, ...] = ()
    dark: tuple[Target, ...] = ()
    fallback: Target | None = None
    speculation: Speculation | None = None
    digest: str = ""

    def targets(self) -> tuple[Target, ...]:
        """All versions that it needs, some perhaps twice."""
        arms = tuple(arm.target for arm in self.arms)
        return (*arms, *self.dark, *((self.fallback,) if self.fallback is not None else ()))

    def body(self) -> dict[str, Any]:
        """As it is sent; what is empty is left out."""
        said: dict[str, Any] = {
            "arms": [arm.body() for arm in self.arms],
            "salt": self.salt,
            "pins": dict(self.pins),
            "rules": [{"when": rule.when, "arm": rule.arm} for rule in self.rules],
            "dark": [target.body() for target in self.dark],
            "fallback": self.fallback.body() if self.fallback else None,
            "speculation": {"decider": self.speculation.decider, "timeout_ms": self.speculation.timeout_ms}
            if self.speculation
            else None,
        }
        return {name: value for name, value in said.items() if value}


def named(model: str, version: str | None, alias: str | None) -> str:
    """A version for people: `wine-tree v3`, `wine-tree @champion (v3)`."""
    if alias:
        return f"{model} @{alias}" + (f" (v{version})" if version else "")
    return f"{model} v{version}"
