"""Puts into the wheel what a deployment needs: templates, layers, functions, payloads to try, the settings' schema.

And what the sandbox needs of the checkout: the orders example, and the lock of the emulator's environment. So `pip
install .`, `uv tool install .` and `make wheel` make the same wheel, and `sluice deploy` and `sluice sandbox` need no
clone. It takes seconds, and a registry, since the layers have libraries for both of Lambda's processor architectures.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOR_THE_SANDBOX = {
    "examples/orders/template.yaml": "orders/template.yaml",
    "examples/orders/orders": "orders/orders",
    "requirements/emulator.txt": "emulator.txt",
}
"""Of the checkout -> where it is in sluice_tools/sandbox/carried."""


class DeploymentHook(BuildHookInterface):
    """Builds the folder `sluice_tools/deployment` of the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build it, except for an editable installation: that is of a checkout, where `sluice deploy` builds."""
        if version == "editable":
            return
        sys.path.insert(0, self.root)
        from sluice_tools.deploy.build import build  # noqa: PLC0415 - it is importable from here on

        self._scratch = tempfile.TemporaryDirectory(prefix="sluice-wheel-")
        folder = Path(self._scratch.name, "deployment")
        build(Path(self.root), folder)
        build_data["force_include"][str(folder)] = "sluice_tools/deployment"
        for source, target in FOR_THE_SANDBOX.items():
            build_data["force_include"][str(Path(self.root, source))] = f"sluice_tools/sandbox/carried/{target}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - hatch's
        """Delete what was built once it is in the wheel."""
        if version != "editable":
            self._scratch.cleanup()
