"""How a model is trained, as POST /train takes it: members of `model.config`, absent where the recipe decides."""

from typing import Literal

from pydantic import BaseModel, Field


class RecipeOptions(BaseModel):
    """Options of a recipe beside sizes, time step and passes over the corpus."""

    tonality: Literal["own", "common"] | None = Field(
        None, description="pieces are heard as written, or moved to C major or C minor, and played in the key asked for"
    )
    learn_u0: bool | None = Field(None, description="learn the first recurrent state, which otherwise is 0")
    validation: float | None = Field(
        None, ge=0, le=0.5, description="share of the pieces that is held out to choose the best epoch by"
    )
    patience: int | None = Field(
        None, ge=0, le=10_000, description="end after so many epochs without a better one on what is held out; 0: never"
    )
    optimizer: Literal["sgd", "adam"] | None = None
    momentum: float | None = Field(None, ge=0, lt=1, description="Nesterov's, of `sgd`")
    lr_rbm: float | None = Field(None, gt=0, le=10, description="step size of W, bv and bh, where it isn't `lr` too")
    schedule: Literal["constant", "cosine"] | None = Field(None, description="of the step size")
    average: float | None = Field(
        None, ge=0, lt=1, description="keep the mean of the parameters over updates, with this decay; 0: do not"
    )
    clip_norm: float | None = Field(None, ge=0, le=1e6, description="longest gradient; 0: any length")
    n_parallel: int | None = Field(None, ge=1, le=256, description="subsequences of an update")
    chain_start: Literal["data", "zeros"] | None = Field(None, description="where the chains of CD start")
    initialization: Literal["tutorial", "scaled"] | None = Field(None, description="of the parameters")
    rbm_pretraining: int | None = Field(
        None, ge=0, le=100_000, description="updates, at first, in which the RBM alone learns frames in no order"
    )
    pretraining: float | None = Field(
        None, ge=0, le=0.9, description="share of the epochs, first, in which the recurrence learns by cross-entropy"
    )
    input_dropout: float | None = Field(
        None, ge=0, le=0.9, description="share of the notes that the recurrence does not hear in training"
    )
    channel_dropout: float | None = Field(
        None, ge=0, le=0.9, description="share of the pitch-tied layer's channels that a frame goes without in training"
    )
    state_dropout: float | None = Field(
        None, ge=0, le=0.9, description="share of a gated recurrence's units that a frame goes without in training"
    )
    slips: float | None = Field(
        None, ge=0, le=0.9, description="share of the frames that a model with a memory plays itself in training"
    )
    stretch: int | None = Field(None, ge=1, le=1000, description="how many it plays one after another, on average")
    split: float | None = Field(
        None, ge=0, le=1, description="share of the pieces that are cut into several, for a gated recurrence"
    )
    transposed: float | None = Field(
        None, ge=0, le=1, description="share of the pieces that are moved in an epoch, by `transpose` at most"
    )
    transpose: int | None = Field(
        None, ge=0, le=24, description="semitones by which pieces are moved at most, anew in each epoch"
    )
