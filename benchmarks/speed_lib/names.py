"""The names of arms, written once: in results, on the page and in the bars."""

STOCK = "stock"
AGAIN = "stock again"
F_GELU = "F.gelu"
OURS = "ours"
OURS_SPEED = 'ours, memory="speed"'
OURS_MAX = 'ours, memory="max"'
COMPILED = "torch.compile"
OURS_COMPILED = "ours, torch.compile"
F_GELU_COMPILED = "F.gelu, torch.compile"
ONNX = "onnxruntime"
LIMIT = "without activation"

MKL = "F.linear"
MKL_AGAIN = "F.linear again"
ONEDNN = "oneDNN linear"
MKL_F_GELU = "F.linear + F.gelu"
MKL_GELU_NEW = "F.linear + gelu_new"
ONEDNN_FUSED = "oneDNN fused"
PLAIN_LINEARS = (MKL, ONEDNN)  # without an activation, and without a second copy of the weights

# On a GPU.
COPY = "copy"
LIGER = "Liger"
ADDMM = "addmm"
ADDMM_F_GELU = "addmm, F.gelu"
IN_PLACE = "addmm, ours in place"
BIAS_APART = "mm, then bias and ours"
ONE_KERNEL = "_addmm_activation"
