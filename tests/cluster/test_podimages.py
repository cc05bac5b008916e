"""Which images are about to be pulled for a pod, whatever somebody has written into it."""

from typing import Any

import pytest

from agent.cluster import podimages
from agent.cluster.podimages import LONGEST, MOST_CONTAINERS, MOST_IMAGES
from agent.cluster.selections import pods_of
from agent.cluster.troubles import ApiError


def pod(spec: object = None, status: object = None, **metadata: Any) -> dict[str, Any]:
    """A pod as the API server writes it."""
    named = {"name": "app", "namespace": "shop", "resourceVersion": "7", "annotations": {"secret": "planted"}}
    return {"metadata": {**named, **metadata}, "spec": spec, "status": status}


def containers(*images: object) -> list[dict[str, object]]:
    """Containers with these images, named in order."""
    return [{"name": f"c{number}", "image": image, "command": ["planted"]} for number, image in enumerate(images)]


ALL = {
    "initContainers": containers("r.example/init:1"),
    "containers": containers("r.example/app:1", "r.example/side@sha256:00"),
    "ephemeralContainers": containers("r.example/debug"),
    "volumes": [{"name": "v", "image": {"reference": "r.example/data:2"}}, {"name": "w", "emptyDir": {}}],
}


@pytest.mark.parametrize("status", [None, {}, {"phase": "Pending"}])
def test_before_a_pod_has_started_all_of_its_images(status: object) -> None:
    found = podimages.read(pod(ALL, status))
    assert found == (
        "shop/app",
        "7",
        ("r.example/init:1", "r.example/app:1", "r.example/side@sha256:00", "r.example/debug", "r.example/data:2"),
    )


def test_of_what_has_started_the_images_of_containers_that_have_none_yet() -> None:
    status = {
        "phase": "Running",
        "initContainerStatuses": [{"name": "c0", "imageID": "r.example/init@sha256:11"}],
        "containerStatuses": [{"name": "c0", "imageID": "x"}, {"name": "c1", "imageID": ""}],
    }
    assert podimages.read(pod(ALL, status)).images == ("r.example/side@sha256:00", "r.example/debug")


def test_of_what_is_being_deleted_none() -> None:
    assert podimages.read(pod(ALL, deletionTimestamp="2026-11-27T20:00:00Z")).images == ()


@pytest.mark.parametrize(
    "image",
    [None, 7, "", ["x"], {"a": 1}, "a b", "a\nb", "a\x1b[31m", "ä", "\u202e", "\ud800", "x" * (LONGEST + 1)],
)
def test_what_could_be_no_image_is_passed_over(image: object) -> None:
    spec = {"containers": [*containers(image, "r.example/app:1"), None, 5, {}, {"name": ["c1"], "image": "x"}]}
    assert podimages.read(pod(spec)).images == ("r.example/app:1",)


@pytest.mark.parametrize("broken", [None, [], "text", 7, {"containers": {}}, {"containers": "x", "volumes": [[]]}])
def test_a_spec_or_a_status_of_another_form_has_none(broken: object) -> None:
    assert podimages.read(pod(broken)).images == ()
    assert len(podimages.read(pod(ALL, broken)).images) >= 4
    statuses = {"phase": ["Pending"], "containerStatuses": [7, {"imageID": 1}, {"name": {}, "imageID": "x"}]}
    assert len(podimages.read(pod(ALL, statuses)).images) == 4


def test_a_pod_of_thousands_of_containers_is_a_hundred_images() -> None:
    many = containers(*(f"r.example/app:{number}" for number in range(MOST_CONTAINERS * 3)))
    found = podimages.read(pod({"initContainers": many, "containers": many}))
    assert len(found.images) == MOST_IMAGES
    assert found.size < MOST_IMAGES * 32
    same = podimages.read(pod({"containers": containers(*["r.example/app:1"] * MOST_CONTAINERS)}))
    assert same.images == ("r.example/app:1",)


@pytest.mark.parametrize("value", [None, {}, {"metadata": {}}, pod(name=None), pod(namespace=7), pod(name="x" * 254)])
def test_without_a_name_it_is_no_pod(value: object) -> None:
    with pytest.raises(ApiError):
        podimages.read(value)


def test_they_are_selected_by_node_in_all_namespaces() -> None:
    selected = pods_of("n1")
    assert selected.path == "/api/v1/pods"
    assert selected.query == {"fieldSelector": "spec.nodeName=n1,status.phase!=Succeeded,status.phase!=Failed"}
    assert pods_of("a,b=c\\").query["fieldSelector"].startswith("spec.nodeName=a\\,b\\=c\\\\,status")
