"""Where the gateway finds workers that a real zygote has forked."""

from reconciler.gateway.table import Live, WorkerAddress
from reconciler.model.names import ReleaseId, ServiceName, WorkerId
from tests.inside.stage import Worker


def address(worker: Worker) -> WorkerAddress:
    return WorkerAddress(WorkerId(worker.spec["worker"]), worker.spec["socket"])


def route(*workers: Worker) -> Live:
    service = workers[0].spec["service"]
    return Live(ServiceName(service), ReleaseId(f"{service}-1"), tuple(map(address, workers)))
