"""Where the worker's parts are put together, and the only place that knows Faust's app.

Start-up, in order: topics, engines' machinery on demand, the control log to the end it has, the models that it says,
the feed. No record is read before the models are there, because a record without its model is a dead letter.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version as installed_version
from typing import Any

import faust
import mode
import structlog
from mode import CrashingSupervisor, Service

from model_store.core.catalogue import LogEntry
from model_store.core.control_records import ModelReport, PartitionOffset, StreamDeclared, WorkerStarted
from model_store.core.wire import decode_record, encode_model_report, encode_worker_started
from serving.adapters.metrics import MetricsServer
from serving.adapters.statistics import StatisticsCollector
from serving.agents import ScoringAgent
from serving.core.placement import is_placed_here
from serving.feed import Feed, FeedChannel, Output, StartAt, calm_collector
from serving.feed.control_log import ControlLog, ControlWriter
from serving.formats import FieldSelection, ResultHeaders, open_format, open_result_format
from serving.live import LiveModel, LiveModels
from serving.loader import Loader, StreamFields
from serving.pipeline import Observation, Pipeline, StreamPlan
from serving.scorers.base import LoadLimits
from serving.scorers.registry import EngineRegistry
from serving.settings import Settings, Stream
from serving.swapper import Swapper
from serving.topics import prepare_topics

log = structlog.get_logger(__name__)
