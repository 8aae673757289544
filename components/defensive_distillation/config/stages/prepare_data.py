"""Settings of prepare_data."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from defensive_distillation.config.stages.base import StageConfig


class PrepareDataConfig(StageConfig):
    """Where the images come from and which of them are used."""

    stage: ClassVar[str] = "prepare_data"
    summary: ClassVar[str] = "Read, check and split a dataset."
    writes: ClassVar[str] = "dataset"
    output: ClassVar[str] = "dataset"
    example: ClassVar[str] = "--source digits --output out/digits"

    source: str = Field(
        "digits",
        min_length=1,
        description=(
            "digits (embedded), mnist, cifar10, or a folder or archive (.zip, .tar, .tar.gz, .tar.xz) of images "
            "by class, at a path or an s3:// URI."
        ),
    )
    data_root: str | None = Field(
        None, description="Folder that holds MNIST or CIFAR-10 in torchvision's form; nothing is downloaded then."
    )
    content: str | None = Field(
        None,
        pattern=r"^(times|bytes)(:[0-9a-f]{64})?$",
        description=(
            "What tells whether a folder or archive here is the one that was read: times (names, sizes and times of "
            "its files) or bytes (their content, which is read once more); its digest is put behind that."
        ),
    )
    train_limit: int | None = Field(None, ge=1, description="Keep a stratified subset of this many training images.")
    test_limit: int | None = Field(None, ge=1, description="Keep a stratified subset of this many test images.")
    test_fraction: float = Field(
        0.2, gt=0, lt=1, description="Share of the images held out, where the source has no train/ and test/."
    )
    image_size: int | None = Field(
        None,
        ge=8,
        le=2048,
        description="Scale the images of a folder to this many pixels square; all must agree without it.",
    )
    max_unpacked_bytes: int = Field(
        8 * 2**30,
        ge=1,
        description="An archive that unpacks, or images that decode, to more bytes than this are refused.",
    )
