"""What a worker holds after many swaps."""

import psutil
import pytest
from deployment import GRAPH, LINEAR, TREE, wine_values
from modelserving.v1.control_pb2 import ModelReport

SWAPS = 500


@pytest.mark.soak
def test_five_hundred_swaps_leave_no_memory_behind(deployment):
    worker = deployment.start_worker()
    process = psutil.Process(worker.process.pid)
    models = [GRAPH, LINEAR, TREE]
    sizes = []

    for i in range(SWAPS):
        offset = deployment.publish(models[i % 3])
        deployment.send(wine_values()[:40])
        if i % 20 == 19:
            deployment.wait_for_report(offset, ModelReport.STATE_LIVE, 120)
            sizes.append(sum(each.memory_info().rss for each in [process, *process.children(recursive=True)]))

    # Allocators, the Java heap and TensorFlow warm up over the first swaps (measured: 841 MB to 915 MB for all processes
    # together over 200 swaps, then 21 MB over the next 300). Of 300 swaps, 100 are graphs of several megabytes each once
    # loaded, so models that stayed would show.
    warm = sizes[len(sizes) * 2 // 5 :]
    assert max(warm[-3:]) - warm[0] < 45 << 20, [size >> 20 for size in sizes]
