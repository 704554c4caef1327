"""Pipelines and their stages, with the incoming stage and 142/143 that each of them has."""

from dataclasses import dataclass, field
from typing import Any

from sandbox.defaults import LOST, WON

INCOMING_TYPE = 1
WON_SORT, LOST_SORT = 10_000, 11_000


@dataclass(slots=True)
class Stage:
    id: int
    name: str
    sort: int
    type: int = 0


@dataclass(slots=True)
class Pipeline:
    """A funnel; `stages` always include the incoming one, 142 and 143."""

    id: int
    name: str
    sort: int
    is_main: bool = False
    is_archive: bool = False
    stages: list[Stage] = field(default_factory=list)

    def stage(self, status_id: int) -> Stage | None:
        return next((stage for stage in self.stages if stage.id == status_id), None)

    def in_order(self) -> list[Stage]:
        return sorted(self.stages, key=lambda stage: stage.sort)

    def first_stage(self) -> Stage:
        """Where a deal lands when only the pipeline is named."""
        return next(stage for stage in self.in_order() if stage.type != INCOMING_TYPE)

    def as_json(self, account_id: int, base: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "sort": self.sort,
            "is_main": self.is_main,
            "is_unsorted_on": True,
            "is_archive": self.is_archive,
            "account_id": account_id,
            "_links": {"self": {"href": f"{base}/api/v4/leads/pipelines/{self.id}"}},
            "_embedded": {
                "statuses": [
                    {
                        "id": stage.id,
                        "name": stage.name,
                        "sort": stage.sort,
                        "is_editable": stage.type == 0 and stage.id not in (WON, LOST),
                        "pipeline_id": self.id,
                        "color": "#fffeb2",
                        "type": stage.type,
                        "account_id": account_id,
                    }
                    for stage in self.in_order()
                ]
            },
        }


def new_pipeline(pipeline_id: int, name: str, sort: int, incoming_id: int, stages: list[tuple[int, str]]) -> Pipeline:
    pipeline = Pipeline(pipeline_id, name, sort)
    pipeline.stages.append(Stage(incoming_id, "Неразобранное", 10, INCOMING_TYPE))
    for index, (status_id, title) in enumerate(stages):
        pipeline.stages.append(Stage(status_id, title, 20 + 10 * index))
    pipeline.stages.append(Stage(WON, "Успешно реализовано", WON_SORT))
    pipeline.stages.append(Stage(LOST, "Закрыто и не реализовано", LOST_SORT))
    return pipeline
