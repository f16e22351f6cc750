from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Command(_message.Message):
    __slots__ = ("id", "actor", "reason", "expected_revision", "register_model", "set_policy", "register_version", "update_version", "set_alias", "set_stage", "approve", "change_route", "propose_change", "abort_change", "start_rollout", "steer_rollout", "request_job", "claim_job", "report_job")
    ID_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    REGISTER_MODEL_FIELD_NUMBER: _ClassVar[int]
    SET_POLICY_FIELD_NUMBER: _ClassVar[int]
    REGISTER_VERSION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_VERSION_FIELD_NUMBER: _ClassVar[int]
    SET_ALIAS_FIELD_NUMBER: _ClassVar[int]
    SET_STAGE_FIELD_NUMBER: _ClassVar[int]
    APPROVE_FIELD_NUMBER: _ClassVar[int]
    CHANGE_ROUTE_FIELD_NUMBER: _ClassVar[int]
    PROPOSE_CHANGE_FIELD_NUMBER: _ClassVar[int]
    ABORT_CHANGE_FIELD_NUMBER: _ClassVar[int]
    START_ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    STEER_ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_JOB_FIELD_NUMBER: _ClassVar[int]
    CLAIM_JOB_FIELD_NUMBER: _ClassVar[int]
    REPORT_JOB_FIELD_NUMBER: _ClassVar[int]
    id: str
    actor: str
    reason: str
    expected_revision: int
    register_model: RegisterModel
    set_policy: SetPolicy
    register_version: RegisterVersion
    update_version: UpdateVersion
    set_alias: SetAlias
    set_stage: SetStage
    approve: Approve
    change_route: ChangeRoute
    propose_change: ProposeChange
    abort_change: AbortChange
    start_rollout: StartRollout
    steer_rollout: SteerRollout
    request_job: RequestJob
    claim_job: ClaimJob
    report_job: ReportJob
    def __init__(self, id: _Optional[str] = ..., actor: _Optional[str] = ..., reason: _Optional[str] = ..., expected_revision: _Optional[int] = ..., register_model: _Optional[_Union[RegisterModel, _Mapping]] = ..., set_policy: _Optional[_Union[SetPolicy, _Mapping]] = ..., register_version: _Optional[_Union[RegisterVersion, _Mapping]] = ..., update_version: _Optional[_Union[UpdateVersion, _Mapping]] = ..., set_alias: _Optional[_Union[SetAlias, _Mapping]] = ..., set_stage: _Optional[_Union[SetStage, _Mapping]] = ..., approve: _Optional[_Union[Approve, _Mapping]] = ..., change_route: _Optional[_Union[ChangeRoute, _Mapping]] = ..., propose_change: _Optional[_Union[ProposeChange, _Mapping]] = ..., abort_change: _Optional[_Union[AbortChange, _Mapping]] = ..., start_rollout: _Optional[_Union[StartRollout, _Mapping]] = ..., steer_rollout: _Optional[_Union[SteerRollout, _Mapping]] = ..., request_job: _Optional[_Union[RequestJob, _Mapping]] = ..., claim_job: _Optional[_Union[ClaimJob, _Mapping]] = ..., report_job: _Optional[_Union[ReportJob, _Mapping]] = ...) -> None: ...

class RegisterModel(_message.Message):
    __slots__ = ("model", "description", "owner", "use_case", "tags")
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    USE_CASE_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    model: str
    description: str
    owner: str
    use_case: str
    tags: _containers.ScalarMap[str, str]
    def __init__(self, model: _Optional[str] = ..., description: _Optional[str] = ..., owner: _Optional[str] = ..., use_case: _Optional[str] = ..., tags: _Optional[_Mapping[str, str]] = ...) -> None: ...

class SetPolicy(_message.Message):
    __slots__ = ("model", "approvals", "needs_backtest", "retire_after_s", "backtest_records", "backtest_disagreement", "backtest_errors")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    APPROVALS_FIELD_NUMBER: _ClassVar[int]
    NEEDS_BACKTEST_FIELD_NUMBER: _ClassVar[int]
    RETIRE_AFTER_S_FIELD_NUMBER: _ClassVar[int]
    BACKTEST_RECORDS_FIELD_NUMBER: _ClassVar[int]
    BACKTEST_DISAGREEMENT_FIELD_NUMBER: _ClassVar[int]
    BACKTEST_ERRORS_FIELD_NUMBER: _ClassVar[int]
    model: str
    approvals: int
    needs_backtest: bool
    retire_after_s: int
    backtest_records: int
    backtest_disagreement: float
    backtest_errors: float
    def __init__(self, model: _Optional[str] = ..., approvals: _Optional[int] = ..., needs_backtest: _Optional[bool] = ..., retire_after_s: _Optional[int] = ..., backtest_records: _Optional[int] = ..., backtest_disagreement: _Optional[float] = ..., backtest_errors: _Optional[float] = ...) -> None: ...

class RegisterVersion(_message.Message):
    __slots__ = ("descriptor", "references", "mode", "deadline_ms")
    class ReferencesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DESCRIPTOR_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    descriptor: bytes
    references: _containers.ScalarMap[str, str]
    mode: str
    deadline_ms: int
    def __init__(self, descriptor: _Optional[bytes] = ..., references: _Optional[_Mapping[str, str]] = ..., mode: _Optional[str] = ..., deadline_ms: _Optional[int] = ...) -> None: ...

class UpdateVersion(_message.Message):
    __slots__ = ("model", "version", "description", "tags")
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    description: str
    tags: _containers.ScalarMap[str, str]
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., description: _Optional[str] = ..., tags: _Optional[_Mapping[str, str]] = ...) -> None: ...

class SetAlias(_message.Message):
    __slots__ = ("model", "alias", "version")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    model: str
    alias: str
    version: int
    def __init__(self, model: _Optional[str] = ..., alias: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class SetStage(_message.Message):
    __slots__ = ("model", "version", "stage", "unrouted_since_ms")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    UNROUTED_SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    stage: str
    unrouted_since_ms: int
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., stage: _Optional[str] = ..., unrouted_since_ms: _Optional[int] = ...) -> None: ...

class Approve(_message.Message):
    __slots__ = ("model", "version", "is_approved", "plan_digest")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IS_APPROVED_FIELD_NUMBER: _ClassVar[int]
    PLAN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    is_approved: bool
    plan_digest: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., is_approved: _Optional[bool] = ..., plan_digest: _Optional[str] = ...) -> None: ...

class Target(_message.Message):
    __slots__ = ("model", "version", "alias")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    alias: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., alias: _Optional[str] = ...) -> None: ...

class Arm(_message.Message):
    __slots__ = ("name", "target", "weight")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    name: str
    target: Target
    weight: int
    def __init__(self, name: _Optional[str] = ..., target: _Optional[_Union[Target, _Mapping]] = ..., weight: _Optional[int] = ...) -> None: ...

class Rule(_message.Message):
    __slots__ = ("when", "arm")
    WHEN_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    when: str
    arm: str
    def __init__(self, when: _Optional[str] = ..., arm: _Optional[str] = ...) -> None: ...

class SlotRun(_message.Message):
    __slots__ = ("first", "arm")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    first: int
    arm: str
    def __init__(self, first: _Optional[int] = ..., arm: _Optional[str] = ...) -> None: ...

class Speculation(_message.Message):
    __slots__ = ("decider", "timeout_ms")
    DECIDER_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    decider: str
    timeout_ms: int
    def __init__(self, decider: _Optional[str] = ..., timeout_ms: _Optional[int] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("arms", "salt", "slots", "pins", "rules", "dark", "fallback", "speculation")
    class PinsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ARMS_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    PINS_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    DARK_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    SPECULATION_FIELD_NUMBER: _ClassVar[int]
    arms: _containers.RepeatedCompositeFieldContainer[Arm]
    salt: str
    slots: _containers.RepeatedCompositeFieldContainer[SlotRun]
    pins: _containers.ScalarMap[str, str]
    rules: _containers.RepeatedCompositeFieldContainer[Rule]
    dark: _containers.RepeatedCompositeFieldContainer[Target]
    fallback: Target
    speculation: Speculation
    def __init__(self, arms: _Optional[_Iterable[_Union[Arm, _Mapping]]] = ..., salt: _Optional[str] = ..., slots: _Optional[_Iterable[_Union[SlotRun, _Mapping]]] = ..., pins: _Optional[_Mapping[str, str]] = ..., rules: _Optional[_Iterable[_Union[Rule, _Mapping]]] = ..., dark: _Optional[_Iterable[_Union[Target, _Mapping]]] = ..., fallback: _Optional[_Union[Target, _Mapping]] = ..., speculation: _Optional[_Union[Speculation, _Mapping]] = ...) -> None: ...

class ChangeRoute(_message.Message):
    __slots__ = ("key", "plan", "mode", "deadline_ms", "rollout", "step")
    KEY_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    key: str
    plan: Plan
    mode: str
    deadline_ms: int
    rollout: int
    step: int
    def __init__(self, key: _Optional[str] = ..., plan: _Optional[_Union[Plan, _Mapping]] = ..., mode: _Optional[str] = ..., deadline_ms: _Optional[int] = ..., rollout: _Optional[int] = ..., step: _Optional[int] = ...) -> None: ...

class Lane(_message.Message):
    __slots__ = ("group", "topic", "partition")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    group: str
    topic: str
    partition: int
    def __init__(self, group: _Optional[str] = ..., topic: _Optional[str] = ..., partition: _Optional[int] = ...) -> None: ...

class ProposeChange(_message.Message):
    __slots__ = ("change", "lanes")
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    LANES_FIELD_NUMBER: _ClassVar[int]
    change: int
    lanes: _containers.RepeatedCompositeFieldContainer[Lane]
    def __init__(self, change: _Optional[int] = ..., lanes: _Optional[_Iterable[_Union[Lane, _Mapping]]] = ...) -> None: ...

class AbortChange(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: int
    def __init__(self, change: _Optional[int] = ...) -> None: ...

class Step(_message.Message):
    __slots__ = ("weight", "bake_seconds")
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    BAKE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    weight: int
    bake_seconds: float
    def __init__(self, weight: _Optional[int] = ..., bake_seconds: _Optional[float] = ...) -> None: ...

class Guard(_message.Message):
    __slots__ = ("signal", "limit", "relative", "minimum_records", "breaches", "tolerance")
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    RELATIVE_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_RECORDS_FIELD_NUMBER: _ClassVar[int]
    BREACHES_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    signal: str
    limit: float
    relative: bool
    minimum_records: int
    breaches: int
    tolerance: float
    def __init__(self, signal: _Optional[str] = ..., limit: _Optional[float] = ..., relative: _Optional[bool] = ..., minimum_records: _Optional[int] = ..., breaches: _Optional[int] = ..., tolerance: _Optional[float] = ...) -> None: ...

class StartRollout(_message.Message):
    __slots__ = ("key", "candidate", "steps", "guards", "deadline_ms")
    KEY_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    GUARDS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    key: str
    candidate: Target
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    guards: _containers.RepeatedCompositeFieldContainer[Guard]
    deadline_ms: int
    def __init__(self, key: _Optional[str] = ..., candidate: _Optional[_Union[Target, _Mapping]] = ..., steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ..., guards: _Optional[_Iterable[_Union[Guard, _Mapping]]] = ..., deadline_ms: _Optional[int] = ...) -> None: ...

class SteerRollout(_message.Message):
    __slots__ = ("rollout", "action", "evidence")
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    rollout: int
    action: str
    evidence: str
    def __init__(self, rollout: _Optional[int] = ..., action: _Optional[str] = ..., evidence: _Optional[str] = ...) -> None: ...

class RequestJob(_message.Message):
    __slots__ = ("kind", "spec", "model", "version")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    kind: str
    spec: str
    model: str
    version: int
    def __init__(self, kind: _Optional[str] = ..., spec: _Optional[str] = ..., model: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class ClaimJob(_message.Message):
    __slots__ = ("job", "worker", "epoch")
    JOB_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    job: int
    worker: str
    epoch: str
    def __init__(self, job: _Optional[int] = ..., worker: _Optional[str] = ..., epoch: _Optional[str] = ...) -> None: ...

class ReportJob(_message.Message):
    __slots__ = ("job", "state", "worker", "epoch", "verdict", "report")
    JOB_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    job: int
    state: str
    worker: str
    epoch: str
    verdict: str
    report: str
    def __init__(self, job: _Optional[int] = ..., state: _Optional[str] = ..., worker: _Optional[str] = ..., epoch: _Optional[str] = ..., verdict: _Optional[str] = ..., report: _Optional[str] = ...) -> None: ...
