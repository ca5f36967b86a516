"""Check the targets outside this machine to which the settings publish the tables."""

from collections.abc import Iterator

from topo_pipeline.common.deadline import DeadlineExceeded, call_within
from topo_pipeline.doctor.finding import Finding, ok, problem
from topo_pipeline.exports.targets import target_of
from topo_pipeline.settings import Settings
from topo_pipeline.warehouse.errors import WarehouseError

# Seconds in which a target must have answered.
_PATIENCE = 30.0
_DO = {
    "s3": "Check TOPO_PUBLISH_S3 and the AWS_… variables. The key must be allowed to list the folder, and to"
    " read, write and delete its objects.",
    "postgres": "Check TOPO_PUBLISH_POSTGRES. The user must own the schema TOPO_PUBLISH_POSTGRES_SCHEMA, or be"
    " allowed to create it.",
    "iceberg": "Check TOPO_PUBLISH_ICEBERG and the variables PYICEBERG_CATALOG__….",
}
_WORKS = {
    "s3": "Objects in {} can be listed, written and deleted.",
    "postgres": "Tables can be created in {}.",
    "iceberg": "The catalog of {} answers.",
}


def look(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each target. What a check writes is removed again."""
    for name in settings.targets:
        try:
            place = _answer(name, settings)
        except WarehouseError as error:
            do = f"{_DO[name]} Then run: topo-pipeline doctor"
            yield problem(f"publish/{name}", f"{str(error).rstrip('.')}.", do)
        else:
            yield ok(f"publish/{name}", _WORKS[name].format(place))


def _answer(name: str, settings: Settings) -> str:
    """Check a target and return its place. The libraries have no time limit of their own, or one of minutes."""
    target = target_of(name, settings)
    try:
        call_within(_PATIENCE, target.check)
    except DeadlineExceeded:
        found = f"Nothing can be published to {target.place}: there was no answer for {_PATIENCE:g} seconds"
        raise WarehouseError(found) from None
    return target.place
