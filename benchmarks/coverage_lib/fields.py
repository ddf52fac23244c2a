"""What the name of a config field says about its meaning. Names, not models: one rule serves hundreds of folders."""

from __future__ import annotations

import re

# An index into a vocabulary.
TOKEN = re.compile(r"(_token_ids?|_token_index|_token|^(bos|eos|pad|unk|mask|sep|cls)_(index|id|idx)|_pad_id)$")
VOCABULARY = re.compile(r"(vocab_size|vocab_size_per_layer_input|vocabulary_size|^n_vocab|_vocab)$")
POSITIONS = re.compile(r"^(max_position_embeddings|n_positions|n_ctx|max_target_positions|max_sequence_length)$")
AUDIO_POSITIONS = re.compile(r"^max_source_positions$")
LAYERS = re.compile(
    r"((^|_)(n_layers?|num_layers|num_hidden_layers|layers|depths?|num_blocks|blocks_per_stage|n_layer|num_block_repeats)"
    r"|_depth|_layers|stage_numb_of_layers|num_hidden_groups|num_self_attends_per_block)$"
)
# Numbers of layers, or lists of layer numbers, that are no depth.
NOT_LAYERS = re.compile(
    r"(kv_shared|window|no_rope|attn|attention_layers|feature_layers|intermediate_layers_indices|norm|cross_attention_layers|encode_proj|max_depth|min_"
    r"|mtp|nextn|first_|last_|skip|tie_|share|conv_layers|feat_extract_layers)"
)
# Numbers of single layers, of which some must be one of the few that are left.
LAYER_INDICES = re.compile(
    r"(global_attn_indexes|fullatt_block_indexes|deepstack_visual_indexes|feature_layers|intermediate_layers_indices|_layer_indices)$"
)
EXPERTS = re.compile(
    r"(num_experts|num_local_experts|n_routed_experts|moe_num_experts|num_routed_experts|ffn_num_experts)$"
)
EXPERTS_CHOSEN = re.compile(
    r"(experts_per_tok(en)?|moe_k|moe_topk|num_selected_experts|moe_top_k|router_top_k|top_k_experts)$"
)
EXPERT_GROUPS = re.compile(r"^(n_group|topk_group|n_groups_experts)$")
QUERIES = re.compile(r"^(num_queries|num_object_queries|num_query_tokens|num_latents)$")
IMAGE = re.compile(r"(^|_)(image_size|img_size|input_image_size|image_resolution)$")

WIDTH = re.compile(
    r"(hidden_size|hidden_sizes|_dims?|^dim|^dims|_size|_sizes|_channels|^channels|_width|^width|embd|n_inner|d_model|d_ff|d_kv"
    r"|d_inner|_ffn|rank|_features|_filters|filters|embed|planes|d_ssm|d_head|d_embed|hidden|num_pos_feats|d_latents|hidden_size_global|upsample_groups|channel_list"
    r"|dim_per_stage|_proj_size|mrope_section|section)$"
)
NOT_WIDTH = re.compile(
    r"(vocab|image_size|img_size|patch|kernel|window|stride|chunk|codebook_size|crop|block_size|batch|group_size|type_|position"
    r"|_index|token|_len|max_|label|mel|freq|pool|grid|context|step|beam|bucket|resolution|scale|ratio|factor|layer_norm|cache"
    r"|memory_size|min_|conv_kernel|temporal|num_channels|audio_channels|dilation|n_window|fifo|hop|fft|spatial|horizon"
    r"|tile|frame|look|merge|mask|query_pos|pad|codebook_dim$|^scales|dataset|num_embed|bits|spec_|pos_emb)"
)
# Sizes of what comes in, unless they are so large that they can only be the width of another model.
INPUT_WIDTH = re.compile(
    r"^(input_size|input_dim|feature_size|feature_dim|num_features|in_channels|act_dim|state_dim)$"
)
LARGEST_INPUT_WIDTH = 256
