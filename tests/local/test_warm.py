"""Steps are copies of a process that has imported PyTorch: what they find imported, and how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from defensive_distillation_pipelines.local import warm

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="steps are copies on Linux alone")

NEEDLESS = {  # heavy, and of no use to a stage of training, attack or evaluation
    "boto3",
    "google.protobuf",
    "IPython",
    "jinja2",
    "kfp.compiler",
    "kfp.local",
    "kubernetes",
    "matplotlib",
    "mlflow",
    "onnx",
    "pandas",
    "PIL",
    "rich",
    "scipy",
    "sklearn",
    "sympy",
    "timm",
    "torch._dynamo",
    "torch._inductor",
    "torchvision",
}


def test_what_no_step_needs_is_not_imported() -> None:
    program = "import defensive_distillation_pipelines.local.warmed, json, sys; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert not loaded & NEEDLESS
    assert {"torch", "kfp.dsl.executor_main", "defensive_distillation.stages.attack"} <= loaded


def test_no_device_is_asked_for_before_the_copy_is_made() -> None:
    """CUDA that a process has begun to use is of no use to its copies."""
    program = (
        "import torch\n"
        "def refuse(*_): raise SystemExit('a device was asked for')\n"
        "torch.cuda.is_available = torch.cuda.device_count = torch.cuda.init = torch.cuda._lazy_init = refuse\n"
        "import defensive_distillation_pipelines.local.warmed, sys\n"
        "sys.exit(torch.cuda.is_initialized())\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_report_is_drawn_without_pytorch_when_it_stands_alone() -> None:
    program = "import defensive_distillation.stages.report, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def component(folder: Path, body: str) -> list[str]:
    """The command that Kubeflow makes of a lightweight component without inputs; it may use `folder`."""
    imports = "from pathlib import Path\nimport os, sys, time\n"
    source = f"{imports}\ndef step():\n    folder = Path({str(folder)!r})\n    {body}\n"
    told = json.dumps({"inputs": {}, "outputs": {"outputFile": str(folder / "output.json")}})
    return ["sh", "-ec", "", source, "--executor_input", told, "--function_to_execute", "step"]


@pytest.fixture(scope="module", autouse=True)
def _begun() -> None:
    from kfp.local import subprocess_task_handler as handler

    before = handler.run_local_subprocess
    warm.use()
    assert handler.run_local_subprocess is warm.run
    handler.run_local_subprocess = before


def test_a_step_finds_pytorch_imported_and_its_own_time_begins_with_it(tmp_path: Path) -> None:
    found = "(folder / 'found').write_text(f\"{'torch' in sys.modules} {sum(os.times()[:2])} {os.environ['WORD']}\")"
    assert warm.run(component(tmp_path, found), {"WORD": "told"}) == 0
    imported, seconds, word = (tmp_path / "found").read_text().split()
    assert (imported, word) == ("True", "told")
    assert float(seconds) < 1  # PyTorch alone takes more


@pytest.mark.parametrize(
    ("body", "code"),
    [("pass", 0), ("raise SystemExit(2)", 2), ("raise ValueError('wrong')", 1), ("os.kill(os.getpid(), 9)", -9)],
)
def test_its_exit_code_is_that_of_the_process(tmp_path: Path, body: str, code: int) -> None:
    assert warm.run(component(tmp_path, body)) == code


def test_of_two_steps_at_once_each_has_its_own_end(tmp_path: Path) -> None:
    codes: dict[str, int] = {}

    def run(name: str, body: str) -> None:
        (tmp_path / name).mkdir()
        codes[name] = warm.run(component(tmp_path / name, body))

    wait = "(folder / 'pid').write_text(str(os.getpid())); time.sleep(60)"
    killed = threading.Thread(target=run, args=("killed", wait))
    killed.start()
    for number in range(20):  # their ends meet
        both = [threading.Thread(target=run, args=(f"{number} {code}", f"raise SystemExit({code})")) for code in (0, 3)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
    assert codes == {f"{number} {code}": code for number in range(20) for code in (0, 3)}
    deadline = time.monotonic() + 30
    while not (tmp_path / "killed" / "pid").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(int((tmp_path / "killed" / "pid").read_text()), signal.SIGKILL)
    killed.join(10)
    assert codes["killed"] == -9
