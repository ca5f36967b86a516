"""Build the wheel and the source distribution, and check them as a new user would: `make release`.

The wheel is installed with its extra and the locked versions into an empty environment, and shows the demo in an empty
folder. Nothing is uploaded.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
DIST = CHECKOUT / "dist"


def main() -> None:
    """Build and check both files in `dist/`, and print the steps of a release."""
    changed = _run("git", "status", "--porcelain", cwd=CHECKOUT)
    if changed:
        raise SystemExit(f"Commit these files first, because the source distribution would have them:\n{changed}")
    for old in DIST.glob("topo_pipeline-*"):
        old.unlink()
    _run(sys.executable, "-m", "topo_pipeline.report.bundle", cwd=CHECKOUT)
    wheel, source = build(DIST)
    if "topo_pipeline/report/vega.js.gz" not in zipfile.ZipFile(wheel).namelist():
        raise SystemExit(f"{wheel.name} lacks the JavaScript of the charts.")
    with tempfile.TemporaryDirectory() as scratch:
        if wheel_from(source, Path(scratch)).read_bytes() != wheel.read_bytes():
            raise SystemExit(f"{source.name} builds another wheel than {wheel.name}.")
        _try(wheel, Path(scratch))
    print(f"Checked: dist/{wheel.name} and dist/{source.name}\n\n{checklist()}")  # noqa: T201


def checklist() -> str:
    """Return the steps of a release, which are in CONTRIBUTING.md."""
    text = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return text.partition("## Release\n\n")[2].partition("\n\n")[0]


def build(folder: Path, source: Path = CHECKOUT) -> tuple[Path, Path]:
    """Build the wheel and the source distribution of `source` into `folder`, and return their paths."""
    _run(sys.executable, "-m", "hatchling", "build", "-d", str(folder), cwd=source)
    [wheel], [archive] = folder.glob("topo_pipeline-*.whl"), folder.glob("topo_pipeline-*.tar.gz")
    return wheel, archive


def wheel_from(source: Path, scratch: Path) -> Path:
    """Return the wheel that an unpacked source distribution builds. Builds of the same files are equal."""
    with tarfile.open(source) as archive:
        archive.extractall(scratch, filter="data")
    wheel, _ = build(scratch / "dist", scratch / source.name.removesuffix(".tar.gz"))
    return wheel


def _try(wheel: Path, scratch: Path) -> None:
    """Install the wheel into an empty environment and run its commands in an empty folder."""
    environment, folder = scratch / "venv", scratch / "empty"
    folder.mkdir()
    venv.create(environment)
    python = str(environment / "bin" / "python")
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python]
    _run(*install, "--require-hashes", "--no-deps", "-r", str(CHECKOUT / "requirements.lock"), cwd=folder)
    _run(*install, "--no-index", f"{wheel}[sandbox]", cwd=folder)  # fails if the lock lacks a dependency of the wheel
    command = str(environment / "bin" / "topo-pipeline")
    version = _run(command, "--version", cwd=folder).split()[-1]
    if f"topo_pipeline-{version}-" not in wheel.name:
        raise SystemExit(f"{wheel.name} says that its version is {version}.")
    for arguments in (["init"], ["demo"], ["status", "--demo"], ["doctor", "--demo"]):
        _run(command, *arguments, cwd=folder)


def _run(*command: str, cwd: Path) -> str:
    """Return the output of a command, or end with it if it fails. It gets no setting from this environment."""
    sys.stderr.write(f"> {' '.join(command)}\n")
    ours = ("TOPO_", "DAGSTER_", "PYTHON")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
