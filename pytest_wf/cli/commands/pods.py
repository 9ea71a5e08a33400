"""`wf pod-*`: rent, wait for, show, list and delete pods."""

from __future__ import annotations

from typing import Annotated

import typer

from pytest_wf.cli.context import Context, Pods
from pytest_wf.cli.output import Config, Force, Json, Pod, print_lines, run_command, say
from pytest_wf.flow.operations import rented_pods, teardown
from pytest_wf.flow.operations.ready import ready
from pytest_wf.flow.results import Result

app = typer.Typer()


@app.command("pod-status")
def pod_status(pod: Pod = "", config: Config = None, as_json: Json = False) -> None:
    """Check that the pod answers, is verified, and has the config (P30)."""
    run_command(
        lambda context: ready(context.session(), say=say),
        pods=Pods(pod, on_all=True),
        config=config,
        as_json=as_json,
    )


@app.command("pod-up")
def pod_up(
    bind: Annotated[bool, typer.Option("--bind", help="Write its id into the config")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Rent a pod, or reuse this project's, and wait until it answers (P10)."""
    run_command(lambda context: context.rent(say, bind=bind), config=config, as_json=as_json)


@app.command("pod-wait")
def pod_wait(pod: Pod = "", config: Config = None, as_json: Json = False) -> None:
    """Wait until the pod answers; changes nothing on it."""
    run_command(
        lambda context: rented_pods.await_link(context.session(), say),
        pods=Pods(pod, on_all=True),
        config=config,
        as_json=as_json,
    )


@app.command("pod-list")
def pod_list(config: Config = None, as_json: Json = False) -> None:
    """List rented pods with age, cost and owner, and volumes."""
    run_command(lambda context: context.pods(), config=config, as_json=as_json, show=_show_pods)


@app.command("pod-delete")
def pod_delete(
    pod: Annotated[str, typer.Argument(help="A rented pod's id; the target's by default")] = "",
    member: Pod = "",
    config: Config = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Delete what pytest-wf made on the pod, once its results are fetched (P90).

    With POD, that rented pod is deleted.
    """

    def delete(context: Context) -> Result:
        return (
            context.delete_pod(pod, force=force)
            if pod
            else teardown.delete(context.session(), force=force)
        )

    # a rented pod is named by its own id, whatever target the config names
    pods = None if pod else Pods(member)
    run_command(delete, pods=pods, config=config, as_json=as_json)


def _show_pods(result: Result) -> None:
    for pod in result.facts["pods"]:
        price = "?" if pod["usd_per_hour"] is None else f"{pod['usd_per_hour']:g}"
        cost = "?" if pod["cost_usd"] is None else f"{pod['cost_usd']:.2f}"
        age = "?" if pod["age_s"] is None else f"{pod['age_s'] / 60:.0f}"
        print_lines(
            [
                f"{pod['standing']}: {pod['name']} {pod['id']} {pod['status']} "
                f"age_min={age} usd_per_hour={price} cost_usd={cost} "
                f"ends={pod['removal_at'] or 'never'}: {pod['reason']}"
            ]
        )
    print_lines([f"pods={len(result.facts['pods'])} volumes={len(result.facts['volumes'])}"])
    for volume in result.facts["volumes"]:
        print_lines([f"volume {volume['huid']} {volume['name']} {volume['id']}"])
