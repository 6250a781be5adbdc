"""Pods of one scenario that later ones still see."""

from __future__ import annotations

# Pods that go on failing after the scenario that made them.
BACKGROUND = {
    "notready": "pod-readiness-fails",
    "badimg": "pod-bad-image",
    "pullimg": "pod-bad-image-pull",
    "nocm": "pod-missing-configmap",
    "crash": "pod-crashloop",
    "live": "pod-liveness",
}
