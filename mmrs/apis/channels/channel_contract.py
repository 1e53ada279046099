"""The channel contract: which bands a model was trained on, and how, compared wherever it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmrs.errors import CheckpointError, DataError, MmrsError
from mmrs.geo.ground_sampling import GroundSampling
from mmrs.geo.scaling import KINDS, BandScaling

BandOrder = Literal["file", "reversed"]

META_KEY = "channel_contract"  # in the meta of a checkpoint
GSD_TOLERANCE = 0.05
ALPHA_DATA = "the last is marked as transparency but holds a picture"
# Names that say what a band measures, in two vocabularies: two of one that differ are two different
# bands. What a camera or a mosaic calls its bands may differ from file to file, and is only told.
_COLOURS = frozenset(
    "red green blue nir nir08 rededge swir swir1 swir2 coastal pan thermal yellow "
    "vv vh hh hv".split()
)
_NUMBERS = frozenset("b01 b02 b03 b04 b05 b06 b07 b08 b09 b8a".split())
_NUMBERS |= {f"b{band}" for band in range(1, 14)}


@dataclass(frozen=True)
class ChannelContract:
    """What reaches a network; None and () stand for what is not known, which fits anything.

    Attributes:
        bands: Their number.
        dtype: NumPy's name of the files' pixel type.
        order: As the pipeline reads them: ``file``, or ``reversed`` (OpenCV hands RGB pictures
            over as BGR).
        swaps: Whether the data preprocessor reverses three bands once more.
        file_bands: Numbers in the file, counted from 1, where not simply all.
        band_names: Of these bands, in the order of the file.
        names_from_colours: Whether the names are only what the file calls their colours: a
            picture of infrared, red and green may call them red, green and blue.
        scaling: What the data set does to the values; None where it leaves them.
        scaling_known: Whether ``scaling`` says so, or its numbers are yet to be computed.
        mean: What the data preprocessor takes off, in the network's order.
        std: What it divides by.
        gsd_m: Ground metres of a pixel (from column to column, from row to row).
        fills_gaps: Whether pixels without data are 0 when they reach the data preprocessor.
    """

    bands: int | None = None
    dtype: str | None = None
    order: BandOrder = "file"
    swaps: bool = False
    file_bands: tuple[int, ...] | None = None
    band_names: tuple[str, ...] = ()
    names_from_colours: bool = False
    scaling: BandScaling | None = None
    scaling_known: bool = True
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    gsd_m: tuple[float, float] | None = None
    fills_gaps: bool = False

    @property
    def network_bands(self) -> tuple[int, ...] | None:
        """Numbers in the file of the bands as the network sees them; None where not known."""
        if self.file_bands is None and self.bands is None:
            return None
        bands = self.file_bands or tuple(range(1, (self.bands or 0) + 1))
        return bands[::-1] if (self.order == "reversed") != self.swaps else bands

    @property
    def network_names(self) -> tuple[str, ...]:
        """Names of the bands as the network sees them."""
        reverse = (self.order == "reversed") != self.swaps
        return self.band_names[::-1] if reverse else self.band_names

    @property
    def alpha_note(self) -> tuple[str, ...]:
        """What is to be said of a band that only its mark makes transparency."""
        return (ALPHA_DATA,) if ALPHA_DATA in self.band_names else ()

    @property
    def kind(self) -> str:
        """Bands and type, such as ``4 bands (red, green, blue, nir) of uint16``."""
        return _kind(self.bands, self.dtype, self.band_names)

    def to_meta(self) -> dict[str, Any]:
        """Plain values, for the meta of a checkpoint."""
        return asdict(self)

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any], *, where: str) -> ChannelContract | None:
        """The contract in a checkpoint's meta, None where it holds none.

        Raises:
            CheckpointError: What it holds is no contract.
        """
        values = meta.get(META_KEY)
        if values is None:
            return None
        try:
            values = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
            if values.get("scaling") is not None:
                scaling = dict(values["scaling"])
                if scaling["kind"] not in KINDS:
                    raise ValueError(scaling["kind"])
                scaling |= {key: tuple(scaling[key]) for key in ("offset", "divisor")}
                values["scaling"] = BandScaling(**scaling)
            return cls(**values)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"its {META_KEY} is damaged ({type(error).__name__}: {error})",
                where=where,
                fix="use a checkpoint that this version of mmrs saved",
            ) from error

    def filled_by(self, other: ChannelContract) -> ChannelContract:
        """This contract, with what it does not know taken from another."""
        unknown = {
            name: getattr(other, name)
            for name in ("bands", "dtype", "file_bands", "band_names", "gsd_m")
            if getattr(self, name) in (None, ())
        }
        if "band_names" in unknown:
            unknown["names_from_colours"] = other.names_from_colours
        if not self.scaling_known:
            unknown |= {"scaling": other.scaling, "scaling_known": other.scaling_known}
        return replace(self, **unknown)


def check_same_channels(
    trained: ChannelContract,
    found: ChannelContract,
    *,
    where: str,
    fix: str,
    what: str = "this run",
    error: type[MmrsError] = CheckpointError,
) -> None:
    """Refuse to run a model on other channels than it was trained on; nothing is cast in silence.

    Args:
        trained: What the model was trained on.
        found: What it would be given.
        where: The file or key to name.
        fix: The mend.
        what: What has the second contract.
        error: The type to raise.

    Raises:
        MmrsError: Both sides in one line, as far as they differ.
    """
    told = differences(trained, found)
    if told:
        theirs, ours = (", ".join(side) for side in zip(*told, strict=True))
        raise error(f"trained on {theirs}; {what} has {ours}", where=where, fix=fix)


def check_same_bands(
    expected: ChannelContract, found: ChannelContract, *, where: str | Path, fix: str | None = None
) -> None:
    """Refuse a file that does not hold what is expected, before anything casts or drops it.

    Raises:
        DataError: With what was found and what is expected.
    """
    first, second = _bands_told(expected, found) or ("", "")
    if first:
        fix = fix or "convert the image (gdal_translate -b, -ot, -scale), or train on such bands"
        raise DataError(f"{second} found, {first} expected", where=where, fix=fix)


def differences(trained: ChannelContract, found: ChannelContract) -> Sequence[tuple[str, str]]:
    """What differs and matters: (in training, now) of each; ground sampling is not among it."""
    told = [pair] if (pair := _bands_told(trained, found)) else []
    if not told and _differ(trained.network_bands, found.network_bands):
        first, second = _lower(trained.network_names), _lower(found.network_names)
        if not first or first != second:
            told.append(
                (f"bands {_listed(trained.network_bands)} of the file, in this order",
                 f"bands {_listed(found.network_bands)}")
            )  # fmt: skip
    known = trained.scaling_known and found.scaling_known
    if known and not _scalings_agree(trained.scaling, found.scaling):
        told.append((_scaled(trained.scaling), _scaled(found.scaling)))
    for key, unit in (("mean", trained.std), ("std", trained.std)):
        first, second = getattr(trained, key), getattr(found, key)
        if not _numbers_agree(first, second, unit):
            told.append((f"{key} {_listed(first)}", f"{key} {_listed(second)}"))
    return told


def gsd_warning(trained: ChannelContract, found: ChannelContract) -> str | None:
    """One line where the pixels are of another size than in training, by more than 5 %."""
    if trained.gsd_m is None or found.gsd_m is None:
        return None
    ratios = [now / then for now, then in zip(found.gsd_m, trained.gsd_m, strict=True)]
    if all(1 / (1 + GSD_TOLERANCE) <= ratio <= 1 + GSD_TOLERANCE for ratio in ratios):
        return None
    now, then = GroundSampling(*found.gsd_m), GroundSampling(*trained.gsd_m)
    return f"a pixel is {now} on the ground, the model was trained at {then}"


def name_warning(trained: ChannelContract, found: ChannelContract) -> str | None:
    """One line where bands are called otherwise, in a way that need not mean other bands."""
    first, second = _lower(trained.band_names), _lower(found.band_names)
    if not all(first) or not all(second) or not first or not second or first == second:
        return None
    return (
        f"its bands are called {', '.join(found.band_names)}, the model was trained on "
        f"{', '.join(trained.band_names)}"
    )


# words ------------------------------------------------------------------------------------------


def _kind(bands: int | None, dtype: str | None, names: Sequence[str] = ()) -> str:
    count = "bands" if bands is None else f"{bands} band{'' if bands == 1 else 's'}"
    named = f" ({', '.join(names)})" if names else ""
    return f"{count}{named}" + (f" of {dtype}" if dtype else "")


def _bands_told(first: ChannelContract, second: ChannelContract) -> tuple[str, str] | None:
    """Both sides, where bands, type or names differ; names only where they are the reason."""
    if _differ(first.bands, second.bands) or _differ(first.dtype, second.dtype):
        return _kind(first.bands, first.dtype), _kind(second.bands, second.dtype, second.alpha_note)
    if _names_differ(first, second):
        return first.kind, second.kind
    return None


def _differ(first: Any, second: Any) -> bool:
    return first is not None and second is not None and first != second


def _lower(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.strip().lower().replace(" ", "").replace("_", "") for name in names)


def _names_differ(first: ChannelContract, second: ChannelContract) -> bool:
    """Whether the names prove other bands, or another order."""
    a, b = _lower(first.band_names), _lower(second.band_names)
    if not a or not b or a == b:
        return False
    if sorted(a) == sorted(b):
        return True
    declared = not (first.names_from_colours or second.names_from_colours)
    return declared and any(set(a) | set(b) <= words for words in (_COLOURS, _NUMBERS))


def _numbers_agree(first: Sequence[float], second: Sequence[float], unit: Sequence[float]) -> bool:
    # one number may stand for all bands
    if bool(first) != bool(second) or (
        len(first) != len(second) and 1 not in (len(first), len(second))
    ):
        return False
    return not first or _near(first, second, unit or (1.0,))


def _scalings_agree(first: BandScaling | None, second: BandScaling | None) -> bool:
    """Whether both do the same to the values, wherever their numbers come from."""
    if first is None or second is None:
        return first is second
    return (
        (first.clip, len(first.divisor)) == (second.clip, len(second.divisor))
        and _near(first.offset, second.offset, first.divisor)
        and _near(first.divisor, second.divisor, first.divisor)
    )


def _near(first: Sequence[float], second: Sequence[float], unit: Sequence[float]) -> bool:
    """Whether numbers are one but for rounding, seen by what values are divided by.

    No number is little by itself: backscatter and radiance have bands of 1e-6.
    """
    apart = np.abs(np.subtract(first, second))
    return bool((apart <= 1e-3 * np.abs(np.asarray(unit, dtype=np.float64))).all())


def _scaled(scaling: BandScaling | None) -> str:
    if scaling is None:
        return "values as in the file"
    return (
        f"values scaled by {scaling.kind} (offset {_listed(scaling.offset)}, divisor "
        f"{_listed(scaling.divisor)}{', cut to 0 .. 1' if scaling.clip else ''})"
    )


def _listed(values: Sequence[float] | None) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in values or ()) + ")"
