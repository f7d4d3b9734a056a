//! The kernels: a line a file of `shaders/conv2d/`.

use std::sync::LazyLock;

use crate::ir::Kernel;
use crate::ops::shaders::kernels;

kernels! { "conv2d":
    FORWARD, "forward", "convolution, one output an invocation";
    FORWARD_3X3, "forward_3x3", "3x3 convolution or its input gradient, 48 pixels of 2 channels an invocation";
    GROUPED_3X3, "grouped_3x3", "3x3 convolution in groups or its input gradient, 32 pixels of 2 channels an invocation";
    DEPTHWISE_9X9, "depthwise_9x9", "depthwise 9x9 convolution or its input gradient, 64 pixels an invocation";
    GROUPED_3X3_SHARED, "grouped_3x3_shared", "the same for GPUs, a tile of 2 channels a workgroup";
    DEPTHWISE_9X9_SHARED, "depthwise_9x9_shared", "depthwise 9x9 convolution or its input gradient for GPUs, a tile a workgroup";
    POINTWISE, "pointwise", "1x1 convolution or its input gradient, 32 pixels of up to 4 channels an invocation";
    GROUPED, "grouped", "convolution in groups or its input gradient, 4 pixels of 2 channels an invocation";
    TILED, "tiled", "convolution or its input gradient, 64 pixels of up to 4 channels an invocation";
    BACKWARD_INPUT, "backward_input", "gradient for the input, one element an invocation";
    BACKWARD_WEIGHT, "backward_weight", "gradient for the weight in splits, one weight of one split an invocation";
    BACKWARD_WEIGHT_3X3, "backward_weight_3x3", "gradient for a 3x3 weight in splits, 8 outputs of one channel an invocation";
    BACKWARD_WEIGHT_GROUPED_3X3, "backward_weight_grouped_3x3", "gradient for a 3x3 weight in groups and splits, 9 taps an invocation";
    BACKWARD_WEIGHT_DEPTHWISE_9X9, "backward_weight_depthwise_9x9", "gradient for a depthwise 9x9 weight in splits, one channel an invocation";
    BACKWARD_WEIGHT_GROUPED_3X3_SHARED, "backward_weight_grouped_3x3_shared", "gradient for a 3x3 weight in groups and splits for GPUs, 4 pairs of channels a workgroup";
    BACKWARD_WEIGHT_DEPTHWISE_9X9_SHARED, "backward_weight_depthwise_9x9_shared", "gradient for a depthwise 9x9 weight in splits for GPUs, one channel a workgroup";
    BACKWARD_WEIGHT_TILED, "backward_weight_tiled", "gradient for the weight in splits, 16 outputs of up to 4 elements an invocation";
    WINOGRAD_INPUT, "winograd_input", "6x6 frequencies of tiles of a 3x3 convolution's input";
    WINOGRAD_WEIGHT, "winograd_weight", "6x6 frequencies of a 3x3 weight";
    WINOGRAD_PRODUCT, "winograd_product", "products of matrices by frequency, 64 columns of 4 rows an invocation";
    WINOGRAD_PRODUCT_NARROW, "winograd_product_narrow", "the same, 16 columns of 16 rows an invocation";
    WINOGRAD_OUTPUT, "winograd_output", "outputs of a 3x3 convolution from their frequencies";
    WINOGRAD_GRADIENT, "winograd_gradient", "6x6 frequencies of tiles of an output's gradient";
    WINOGRAD_WEIGHT_GRADIENT, "winograd_weight_gradient", "gradient for a 3x3 weight from its frequencies";
    GEMM, "gemm", "convolution or its input gradient as a product of matrices, 8 channels of 4 or 8 pixels an invocation";
    GEMM_COOPERATIVE, "gemm_cooperative", "convolution or its input gradient as a product of cooperative matrices in f16, 2 x 4 of them a subgroup";
    GEMM_WEIGHT_COOPERATIVE, "gemm_weight_cooperative", "gradient for the weight in splits as a product of cooperative matrices in f16, 2 x 4 of them a subgroup";
    GEMM_WEIGHT, "gemm_weight", "gradient for the weight in splits as a product of matrices, 8 outputs of 4 or 8 elements an invocation";
    SUM_PRODUCTS, "sum_products", "adds the splits of a product of matrices, and what follows a convolution";
    SUM_SPLITS, "sum_splits", "adds the splits of a weight gradient";
    BACKWARD_BIAS, "backward_bias", "gradient for the bias, one channel a workgroup";
}

/// [`GEMM_COOPERATIVE`] for matrices of 16 x 16.
pub static GEMM_COOPERATIVE_16: LazyLock<Kernel> =
    LazyLock::new(|| GEMM_COOPERATIVE.with_matrices_of_16("conv2d/gemm_cooperative_16"));

/// [`GEMM_WEIGHT_COOPERATIVE`] for matrices of 16 x 16.
pub static GEMM_WEIGHT_COOPERATIVE_16: LazyLock<Kernel> =
    LazyLock::new(|| GEMM_WEIGHT_COOPERATIVE.with_matrices_of_16("conv2d/gemm_weight_cooperative_16"));
