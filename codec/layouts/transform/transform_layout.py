"""The configuration of the transform layout."""

from __future__ import annotations

from dataclasses import dataclass

from ..receptive_field import Context, Layer, context
from ..require import require

MAX_TRANSFORM_HOP = 2048  # the transform's matrix holds 2·hop² numbers
MAX_FRAMES_PER_LATENT = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class TransformLayout:
    """Lapped transform → blocks at its frame rate → latent, and the mirror; all work is done once
    per frame of the transform.

    The transform is the MDCT. `frames_per_latent` of its frames share a latent, which is what the
    rest of the package calls a frame. `bands` says how its coefficients, from low to high
    frequencies, are grouped; each band has a level of its own, averaged over the frame before, the
    frame itself and `level_look_ahead` frames after it. A block is a ConvNeXt block on `width`
    channels: a depthwise convolution of `kernel` frames, and a perceptron `expansion` times as
    wide. A block's convolution sees as many frames ahead as its entry of `encoder_look_ahead` or
    `decoder_look_ahead` says, and the rest of its kernel behind; an empty tuple centres all
    kernels. `noise_channels` of Gaussian noise enter each block of the decoder, and the highest
    `noise_bands` that it makes are noise at its levels. A decoder that `conceals` has a vector that
    stands for the latent of a lost frame. The decoder's lowest `excitation_bands` excite the bands
    above them; with 0 there is no excitation.
    """

    bands: tuple[int, ...]
    width: int
    encoder_blocks: int
    decoder_blocks: int
    kernel: int = 7
    expansion: int = 3
    encoder_look_ahead: tuple[int, ...] = ()
    decoder_look_ahead: tuple[int, ...] = ()
    level_look_ahead: int = 1
    noise_channels: int = 0
    noise_bands: int = 0
    conceals: bool = False
    excitation_bands: int = 0
    frames_per_latent: int = 1

    def __post_init__(self) -> None:
        require(bool(self.bands) and min(self.bands) >= 1, f"bands are positive, not {self.bands}")
        require(
            self.transform_hop % 2 == 0,
            f"bands add up to an even number, not {self.transform_hop}",
        )
        require(
            self.transform_hop <= MAX_TRANSFORM_HOP,
            f"bands add up to at most {MAX_TRANSFORM_HOP}, not {self.transform_hop}",
        )
        require(
            1 <= self.frames_per_latent <= MAX_FRAMES_PER_LATENT,
            f"frames_per_latent is 1 to {MAX_FRAMES_PER_LATENT}, not {self.frames_per_latent}",
        )
        for name in ("width", "expansion"):
            require(getattr(self, name) >= 1, f"{name} is at least 1, not {getattr(self, name)}")
        for name in ("encoder_blocks", "decoder_blocks", "noise_channels"):
            require(getattr(self, name) >= 0, f"{name} is at least 0, not {getattr(self, name)}")
        require(self.kernel % 2 == 1 and self.kernel > 0, f"kernel is odd, not {self.kernel}")
        require(
            0 <= self.level_look_ahead <= 1,
            f"level_look_ahead is 0 or 1, not {self.level_look_ahead}",
        )
        require(
            0 <= self.excitation_bands < len(self.bands),
            f"excitation_bands is at least 0 and below the number of bands, {len(self.bands)}, "
            f"not {self.excitation_bands}",
        )
        require(
            0 <= self.noise_bands <= len(self.bands),
            f"noise_bands is 0 to the number of bands, {len(self.bands)}, not {self.noise_bands}",
        )
        for side in ("encoder", "decoder"):
            frames, blocks = getattr(self, f"{side}_look_ahead"), getattr(self, f"{side}_blocks")
            require(
                len(frames) in (0, blocks) and all(0 <= ahead < self.kernel for ahead in frames),
                f"{side}_look_ahead is empty or {blocks} numbers below {self.kernel}, one a block, "
                f"not {frames}",
            )

    @property
    def transform_hop(self) -> int:
        """Samples per frame of the transform, as many as its coefficients."""
        return sum(self.bands)

    @property
    def hop(self) -> int:
        """Samples per latent."""
        return self.transform_hop * self.frames_per_latent

    @property
    def least_weights(self) -> int:
        """Encoder and decoder have more weights than this: those of the first layer, of the blocks
        and of the excitation's gates.
        """
        of_a_block = self.kernel + 2 * self.expansion * self.width
        blocks = (self.encoder_blocks + self.decoder_blocks) * of_a_block
        noise = self.decoder_blocks * self.noise_channels
        return self.width * (self.transform_hop + blocks + noise + self.excited_bands)

    @property
    def encoder_reach(self) -> tuple[int, ...]:
        """Frames ahead that each block of the encoder sees."""
        return self.encoder_look_ahead or (self.kernel // 2,) * self.encoder_blocks

    @property
    def decoder_reach(self) -> tuple[int, ...]:
        """Frames ahead that each block of the decoder sees."""
        return self.decoder_look_ahead or (self.kernel // 2,) * self.decoder_blocks

    @property
    def noise_values(self) -> int:
        """Values of noise that the decoder takes for each latent: those of its frames, one after
        another.
        """
        return self.frames_per_latent * self.noise_values_of_frame

    @property
    def noise_values_of_frame(self) -> int:
        """Values of noise for a frame of the transform: those of the blocks, then those of the
        noise bands.
        """
        return self.decoder_blocks * self.noise_channels + self.noise_bins

    @property
    def noise_bins(self) -> int:
        """Coefficients of the noise bands."""
        return sum(self.bands[len(self.bands) - self.noise_bands :])

    @property
    def excitation_bins(self) -> int:
        """Coefficients of the bands that excite."""
        return sum(self.bands[: self.excitation_bands])

    @property
    def excited_bands(self) -> int:
        """Bands that are excited: all above those that excite."""
        return len(self.bands) - self.excitation_bands if self.excitation_bands else 0

    @property
    def encoder_layers(self) -> list[Layer]:
        """MDCT, band levels, blocks: the layers of the encoder that see several frames of the
        transform.

        The MDCT sees two hops of n = `transform_hop` samples each, of which the first starts half a
        hop before the first sample: hop t reaches from sample (t − ½)·n to (t + ½)·n.
        """
        transform = Layer(before=0, after=1, width=self.transform_hop)
        levels = Layer(before=1, after=self.level_look_ahead, width=self.transform_hop)
        return [transform, levels, *self._blocks(self.encoder_reach)]

    @property
    def decoder_layers(self) -> list[Layer]:
        """Blocks, excitation, overlap-add: the layers of the decoder that see several frames; hops
        as in the encoder.

        The excitation is an overlap-add of its own and an MDCT, which sees the next hop, too.
        Meanwhile the frame's features and gates wait beside its hop.
        """
        overlap = Layer(before=1, after=0, width=self.transform_hop)
        if not self.excitation_bands:
            return [*self._blocks(self.decoder_reach), overlap]
        waiting = self.transform_hop + len(self.bands) + self.excited_bands
        transform = Layer(before=0, after=1, width=self.transform_hop + waiting)
        return [*self._blocks(self.decoder_reach), overlap, transform, overlap]

    @property
    def encoder_context(self) -> Context:
        """Latents' hops of audio around one latent's own that it depends on; the transform's first
        hop begins before its own audio.
        """
        return self._of_latents(context(self.encoder_layers, before=1))

    @property
    def decoder_context(self) -> Context:
        """Latents around one latent that its samples depend on; they end in the transform's next
        hop.
        """
        return self._of_latents(context(self.decoder_layers, after=1))

    def _of_latents(self, frames: Context) -> Context:
        """Whole latents that have so many frames of the transform."""
        per_latent = self.frames_per_latent
        return Context(before=-(-frames.before // per_latent), after=-(-frames.after // per_latent))

    def _blocks(self, reach: tuple[int, ...]) -> list[Layer]:
        return [
            Layer(before=self.kernel - 1 - after, after=after, width=self.width) for after in reach
        ]
