"""The demonstration: a real network and a real photograph, from one command."""

from __future__ import annotations

from pathlib import Path

import pdjax


def test_demo_with_the_installed_network(run):
    ended = run("demo", "--stride", 20, "--samples", 2, "--no-progress")
    assert ended.status == 0
    assert "military uniform" in ended.out
    assert "pdjax demo --window 10 --stride 1 --samples 10" in ended.out
    assert Path("pdjax-demo.png").exists()
    explanation = pdjax.Explanation.load("pdjax-demo.npz")
    assert explanation.names["prob"][0] == "military uniform"
    assert (explanation.standard_error["prob"] > 0).all()
