"""docs/configuration.md, made from the configuration models: `python -m defensive_distillation.config.page`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from defensive_distillation.config import STAGES, ExperimentConfig
from defensive_distillation.config.loading import PRESETS, described, preset_values, section
from defensive_distillation.defenses.registry import DEFENSES

_HEAD = """# Configuration

Made from the models in `components/defensive_distillation/config/` by `make docs`; a test keeps it so.

A sweep takes its settings from a preset, then from a YAML or TOML file (`--config`), then from `--set`, the later over
the earlier. Keys are `stage.key`, and `stage.section.key` where settings are in sections; `train.key` stands for
teacher, student and other defenses. Unknown keys are refused, and so are keys that stand twice, and texts with `{{`,
which Kubeflow and Argo would replace. As flags of a single stage they are written with dashes:
`defdistill stage attack --jsma.max-features 50`.

```yaml
temperatures: [20, 100]
prepare_data:
  source: s3://bucket/photographs.tar.gz
  image_size: 32
train:
  architecture: torchvision:resnet18
  epochs: 20
attack:
  jsma:
    sources: 100
```
"""


def page() -> str:
    """The page as Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD
    yield "## The sweep\n"
    yield from _table(ExperimentConfig, set(ExperimentConfig.model_fields) - set(STAGES))
    for stage, config in STAGES.items():
        yield f"\n## {stage}\n"
        yield f"{config.summary} Reads: {', '.join(config.reads) or 'nothing'}. Writes: {config.writes}.\n"
        yield from _table(config, set(config.model_fields) - {"seed", "temperature"})
    yield "\n## Defenses\n"
    yield "Parameters of each, in a sweep as in `--defenses label_smoothing:share=0.2`, of the stage in `--parameters`."
    for defense in DEFENSES.values():
        yield f"\n### {defense.name}\n"
        yield from _table(defense.settings, set(defense.settings.model_fields))
    yield "\n## Presets\n"
    yield "What they set; everything else has the values above, which are the paper's.\n"
    yield "| preset | setting | value |"
    yield "| --- | --- | --- |"
    for preset in PRESETS:
        for key, value in _flat(preset_values(preset)):
            yield f"| {preset} | `{key}` | {_shown(value)} |"
    yield ""


def _table(model: type[BaseModel], names: set[str]) -> Iterator[str]:
    yield "| setting | default | meaning |"
    yield "| --- | --- | --- |"
    yield from _rows(model, names)


def _rows(model: type[BaseModel], names: set[str], before: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if name not in names:
            continue
        if inner := section(field):
            yield from _rows(inner, set(inner.model_fields), f"{before}{name}.")
        else:
            default = _shown(field.get_default(call_default_factory=True))
            yield f"| `{before}{name}` | {default} | {described(field)} |".replace("||", "|")


def _flat(values: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield before + key, value


def _shown(value: Any) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple | list):
        return ", ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    print(page(), end="")
