"""Makers of images, videos and the tensors that describe them."""

from __future__ import annotations

import torch

from .context import VISION, Context
from .text import Alternatives, embeddings

GRID = 4  # patches on a side of an image that comes as a row of patches
FRAMES = 2


def side(context: Context) -> tuple[int, int]:
    """Return the height and width of an image."""
    size = context.find(
        "image_size", "img_size", "input_image_size", "image_resolution", "input_size", prefer=VISION, default=64
    )
    if isinstance(size, dict):
        size = list(size.values())
    if isinstance(size, list | tuple):
        return (int(size[0]), int(size[-1]))
    return (int(size), int(size))


def channels(context: Context) -> int:
    """Return the number of colour channels."""
    found = context.number("num_channels", "in_channels", "in_chans", "num_image_channels", prefer=VISION, default=3)
    return found if found in {1, 3, 4} else 3


def patch(context: Context) -> int:
    """Return the side of a patch in pixels."""
    return context.number("patch_size", "vision_patch_size", prefer=VISION, default=16)


def images(context: Context) -> Alternatives:
    """(batch, channels, height, width); with an axis of tiles; a row of patches; patches in one or two axes."""
    height, width = side(context)
    image = context.normal(context.batch, channels(context), height, width)
    one = image[:1]
    row = context.normal(GRID * GRID, patch_width(context))
    if any("grid" in name for name in context.parameters) or "grid_thw" in context.parameters:
        squares = row.reshape(GRID * GRID, channels(context), -1, patch(context), patch(context))[:, :, 0]
        return [row, image, one[:, None], row[None], squares, squares[None]]
    flat = context.normal(context.batch, GRID * GRID, channels(context) * patch(context) ** 2)
    if "spatial_shapes" in context.parameters or "pixel_position_ids" in context.parameters:
        return [flat, image, one[:, None]]
    if "aspect_ratio_ids" in context.parameters:
        return [image[:, None, None].repeat(1, 1, context.number("max_num_tiles", default=4), 1, 1, 1)]
    return [image, image[:, None], one[:, None].repeat(1, 2, 1, 1, 1), row, flat]


def patch_width(context: Context) -> int:
    """Return the numbers in one patch of a row: channels x frames x side x side."""
    frames = context.number("temporal_patch_size", prefer=VISION, default=1)
    return channels(context) * frames * patch(context) ** 2


def videos(context: Context) -> Alternatives:
    """A row of patches, or (batch, frames, channels, height, width), or channels before frames."""
    height, width = side(context)
    frames = context.number("num_frames", "video_length", "frames_per_clip", prefer=VISION, default=FRAMES)
    video = context.normal(context.batch, frames, channels(context), height, width)
    if any("grid" in name for name in context.parameters):
        return [context.normal(GRID * GRID, patch_width(context)), video]
    return [video, video.transpose(1, 2).contiguous()]


def grid(context: Context) -> Alternatives:
    """One image of GRID x GRID patches: (frames, height, width)."""
    return [torch.tensor([[1, GRID, GRID]])]


def grid_hw(context: Context) -> Alternatives:
    """One image of GRID x GRID patches: (height, width)."""
    return [torch.tensor([[GRID, GRID]] * context.batch)]


def image_sizes(context: Context) -> Alternatives:
    """(height, width) in pixels."""
    return [torch.tensor([side(context)] * context.batch)]


def pixel_mask(context: Context) -> Alternatives:
    """One flag for each pixel."""
    return [torch.ones(context.batch, *side(context), dtype=torch.long)]


def patch_mask(context: Context) -> Alternatives:
    """One flag for each patch of a row, or for each tile of an image."""
    return [
        torch.ones(context.batch, GRID * GRID, dtype=torch.long),
        torch.ones(context.batch, 1, dtype=torch.bool),
    ]


def patch_positions(context: Context) -> Alternatives:
    """(column, row) of each patch."""
    rows, columns = torch.meshgrid(torch.arange(GRID), torch.arange(GRID), indexing="ij")
    return [torch.stack([columns, rows], dim=-1).reshape(1, -1, 2).repeat(context.batch, 1, 1)]


def masked_patches(context: Context) -> Alternatives:
    """The first half of the patches masked."""
    height, width = side(context)
    tubelet = context.number("tubelet_size", default=0)
    frames = context.number("num_frames", default=tubelet) // tubelet if tubelet else 1
    count = (height // patch(context)) * (width // patch(context)) * frames
    return [(torch.arange(count) < count // 2).repeat(context.batch, 1)]


def flattened_patches(context: Context) -> Alternatives:
    """Pix2Struct: row and column of a patch, then its pixels."""
    size = context.number("patch_embed_hidden_size", "seq_len", prefer=VISION, default=768)
    width = 2 + channels(context) * patch(context) ** 2
    position = torch.arange(16).reshape(1, 16, 1).repeat(context.batch, 1, 2).float() % 4 + 1
    made = [torch.cat([position, context.normal(context.batch, 16, width - 2)], dim=-1)]
    return [*made, torch.cat([position, context.normal(context.batch, 16, size)], dim=-1)]


def regions(context: Context) -> Alternatives:
    """Features of four detected regions."""
    return [context.normal(context.batch, 4, context.number("visual_feat_dim", "visual_embedding_dim", default=32))]


def region_boxes(context: Context) -> Alternatives:
    """Boxes of four detected regions, in parts of the image."""
    return [context.normal(context.batch, 4, context.number("visual_pos_dim", default=4)).sigmoid()]


def tiles(context: Context) -> Alternatives:
    """Mllama: one image of the first aspect ratio for each text."""
    return [torch.ones(context.batch, 1, dtype=torch.long)]


def tile_mask(context: Context) -> Alternatives:
    """Mllama: the first of the tiles is there."""
    return [torch.tensor([1] + [0] * (context.number("max_num_tiles", default=4) - 1)).repeat(context.batch, 1, 1)]


def points(context: Context) -> Alternatives:
    """One point of one prompt."""
    return [torch.full((context.batch, 1, 1, 2), 8.0)]


def hidden_states(context: Context) -> Alternatives:
    """What towers with a grid call their row of patches; elsewhere the hidden states of a layer."""
    if any("grid" in name for name in context.parameters):
        return [context.normal(GRID * GRID, patch_width(context)), *embeddings(context)]
    return embeddings(context)


def cross_mask(context: Context) -> Alternatives:
    """Every token sees the one image."""
    return [torch.ones(context.batch, context.length, 1, dtype=torch.long)]


def places_of_images(context: Context) -> Alternatives:
    """The first tokens stand for an image."""
    count = context.number("latent_query_num", default=4)
    return [(torch.arange(context.length) < count).repeat(context.batch, 1)]


MAKERS = {
    "visual_feats": regions,
    "visual_pos": region_boxes,
    "visual_embeds": regions,
    "aspect_ratio_ids": tiles,
    "aspect_ratio_mask": tile_mask,
    "image_attention_mask": cross_mask,
    "image_embeds_position_mask": places_of_images,
    "hidden_states": hidden_states,
    "pixel_values": images,
    "image": images,
    "images": images,
    "sample": images,
    "image_pixel_values": images,
    "high_res_pixel_values": images,
    "prompt_pixel_values": images,
    "codebook_pixel_values": images,
    "conditional_pixel_values": images,
    "prompt_masks": images,
    "pixel_values_videos": videos,
    "grid_thw": grid,
    "image_grid_thw": grid,
    "video_grid_thw": grid,
    "image_grid_hw": grid_hw,
    "spatial_shapes": grid_hw,
    "image_sizes": image_sizes,
    "target_sizes": grid_hw,
    "pixel_mask": pixel_mask,
    "pixel_attention_mask": patch_mask,
    "pixel_position_ids": patch_positions,
    "image_position_ids": patch_positions,
    "bool_masked_pos": masked_patches,
    "flattened_patches": flattened_patches,
    "input_points": points,
    "merge_sizes": lambda context: [torch.ones(1, dtype=torch.long)],
    "image_merge_sizes": lambda context: [torch.ones(1, dtype=torch.long)],
}
