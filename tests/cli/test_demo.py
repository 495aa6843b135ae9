"""The demonstration: a real network and a real photograph, from one command."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import pdjax

SKY_AND_CONE = np.s_[0:32, :], np.s_[64:96, 104:120]


def test_demo_with_the_installed_network(run):
    ended = run("demo", "--window", 16, "--stride", 16, "--samples", 2, "--no-progress")
    assert ended.status == 0
    assert "missile, p = " in ended.out
    assert "pdjax demo --window 10 --stride 1 --samples 10" in ended.out
    assert Path("pdjax-demo.png").exists()
    explanation = pdjax.Explanation.load("pdjax-demo.npz")
    assert list(explanation.names["prob"]) == ["missile", "drilling platform, offshore rig"]
    assert explanation.settings["sampler"].startswith("conditional mixture")
    assert (explanation.standard_error["prob"] >= 0).all()
    # Of a clear sky the network knows nothing, of the nose cone something.
    sky, cone = (explanation.relevance["prob"][0][part] for part in SKY_AND_CONE)
    assert abs(sky.mean()) < 0.1 < 0.3 < cone.mean()
