"""The systems that the paper compares with, in PyTorch: what their Rust versions must reproduce.

For checking, not for shipping; beside ditn_torch.py, whose parts it uses. zoo_dump.py writes dumps of these networks,
public_layouts.py checkpoints as the public code has them. Needs: pip install torch.

Each network gives {"maps": [...]}, heat maps in the order in which they are supervised, the last of which are decoded; integral
pose regression gives "coordinates" too. Tensors are NCHW, weights OIHW, float32. Batch normalisation: eps 1e-5, momentum 0.1.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F

from ditn_torch import SKELETONS, Bottleneck, ResNet, conv_bn

# What zoo_dump.py's mistakes change: whether resizing keeps the corners, and the place of a pixel in an expectation.
ALIGN_CORNERS, PIXEL_OFFSET = True, 0.0


def resize(x, size):
    """Bilinear; the corner pixels' centres stay where they are: source = i (in - 1) / (out - 1)."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=ALIGN_CORNERS)


# ---------------------------------------------------------------------------------------------- stacked hourglass


class PreActivation(nn.Module):
    """BN, ReLU, 1x1 to half; BN, ReLU, 3x3; BN, ReLU, 1x1; plus the input (1x1 where the width changes). Biases."""

    def __init__(self, c_in, c_out):
        super().__init__()
        half = c_out // 2
        self.bn1, self.conv1 = nn.BatchNorm2d(c_in), nn.Conv2d(c_in, half, 1)
        self.bn2, self.conv2 = nn.BatchNorm2d(half), nn.Conv2d(half, half, 3, 1, 1)
        self.bn3, self.conv3 = nn.BatchNorm2d(half), nn.Conv2d(half, c_out, 1)
        self.downsample = nn.Sequential(nn.Conv2d(c_in, c_out, 1)) if c_in != c_out else None

    def forward(self, x):
        y = self.conv1(F.relu(self.bn1(x)))
        y = self.conv2(F.relu(self.bn2(y)))
        y = self.conv3(F.relu(self.bn3(y)))
        return y + (x if self.downsample is None else self.downsample(x))


class Hourglass(nn.Module):
    """hg[level][k]: level 0 is the lowest; k = 0 beside, 1 on the way down, 2 on the way up, 3 (level 0) at the bottom."""

    def __init__(self, channels, depth, blocks):
        super().__init__()

        def row(count):
            return nn.ModuleList(nn.Sequential(*[PreActivation(channels, channels) for _ in range(blocks)])
                                 for _ in range(count))

        self.hg = nn.ModuleList(row(4 if level == 0 else 3) for level in range(depth))

    def at(self, level, x):
        parts = self.hg[level]
        low = parts[1](F.max_pool2d(x, 2))
        low = self.at(level - 1, low) if level > 0 else parts[3](low)
        return parts[0](x) + F.interpolate(parts[2](low), scale_factor=2, mode="nearest")

    def forward(self, x):
        return self.at(len(self.hg) - 1, x)


class StackedHourglass(nn.Module):
    """Newell et al. 2016, named as bearpaw/pytorch-pose. paper_stem: 64-128-128-F as the paper and princeton-vl have it;
    otherwise 64-128-256-F as bearpaw has it. The input is a multiple of 4 * 2^depth in both directions."""

    def __init__(self, skeleton="mpii", stacks=2, blocks=1, channels=256, stem=64, depth=4, paper_stem=False, **_):
        super().__init__()
        joints, second = SKELETONS[skeleton][0], 2 * stem if paper_stem else 4 * stem
        self.conv1, self.bn1 = nn.Conv2d(3, stem, 7, 2, 3), nn.BatchNorm2d(stem)
        self.layer1 = nn.Sequential(PreActivation(stem, 2 * stem))
        self.layer2 = nn.Sequential(PreActivation(2 * stem, second))
        self.layer3 = nn.Sequential(PreActivation(second, channels))
        self.hg = nn.ModuleList(Hourglass(channels, depth, blocks) for _ in range(stacks))
        self.res = nn.ModuleList(nn.Sequential(*[PreActivation(channels, channels) for _ in range(blocks)])
                                 for _ in range(stacks))
        self.fc = nn.ModuleList(nn.Sequential(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels), nn.ReLU())
                                for _ in range(stacks))
        self.score = nn.ModuleList(nn.Conv2d(channels, joints, 1) for _ in range(stacks))
        self.fc_ = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(stacks - 1))
        self.score_ = nn.ModuleList(nn.Conv2d(joints, channels, 1) for _ in range(stacks - 1))

    def forward(self, image):
        x = F.max_pool2d(self.layer1(F.relu(self.bn1(self.conv1(image)))), 2)
        x = self.layer3(self.layer2(x))
        maps = []
        for i, score in enumerate(self.score):
            y = self.fc[i](self.res[i](self.hg[i](x)))
            maps.append(score(y))
            if i < len(self.fc_):
                x = x + self.fc_[i](y) + self.score_[i](maps[-1])
        return {"maps": maps}


# ---------------------------------------------------------------------------------------- cascaded pyramid network


class Pyramid(nn.Module):
    """A ResNet's four stages, from the coarsest: [C5, C4, C3, C2]."""

    def __init__(self, layers, stem):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, stem, 7, 2, 3, bias=False), nn.BatchNorm2d(stem)
        c_in = stem
        for i, n in enumerate(layers):
            c = stem * 2 ** i
            blocks = [Bottleneck(c_in if k == 0 else 4 * c, c, 2 if k == 0 and i > 0 else 1) for k in range(n)]
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
            c_in = 4 * c

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        stages = []
        for i in range(4):
            x = getattr(self, f"layer{i + 1}")(x)
            stages.insert(0, x)
        return stages


class GlobalNet(nn.Module):
    """A feature pyramid with heat maps at each level. -> features coarse to fine, maps coarse to fine at 1/4."""

    def __init__(self, widths, c, joints):
        super().__init__()
        self.laterals = nn.ModuleList(conv_bn(w, c, 1) for w in widths)
        self.upsamples = nn.ModuleList(nn.Sequential(nn.Identity(), nn.Conv2d(c, c, 1, bias=False), nn.BatchNorm2d(c))
                                       for _ in widths[1:])
        self.predict = nn.ModuleList(
            nn.Sequential(*conv_bn(c, c, 1), nn.Conv2d(c, joints, 3, 1, 1, bias=False), nn.Identity(), nn.BatchNorm2d(joints))
            for _ in widths)

    def forward(self, stages):
        features, maps, above = [], [], 0
        for i, x in enumerate(stages):
            x = self.laterals[i](x) + above
            features.append(x)
            if i + 1 < len(stages):
                above = self.upsamples[i](resize(x, stages[i + 1].shape[2:]))
            predict = self.predict[i]
            maps.append(predict[5](resize(predict[:4](x), stages[-1].shape[2:])))
        return features, maps


class RefineBottleneck(nn.Module):
    """1x1 to half of c_out, 3x3, 1x1 to c_out, plus a 1x1 of the input; always projected."""

    def __init__(self, c_in, c_out):
        super().__init__()
        half = c_out // 2
        self.conv1, self.bn1 = nn.Conv2d(c_in, half, 1, bias=False), nn.BatchNorm2d(half)
        self.conv2, self.bn2 = nn.Conv2d(half, half, 3, 1, 1, bias=False), nn.BatchNorm2d(half)
        self.conv3, self.bn3 = nn.Conv2d(half, c_out, 1, bias=False), nn.BatchNorm2d(c_out)
        self.downsample = nn.Sequential(nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class RefineNet(nn.Module):
    """3, 2, 1, 0 bottlenecks on the levels coarse to fine, all at 1/4 and concatenated, one more, and the maps."""

    def __init__(self, c, joints, levels=4):
        super().__init__()
        self.cascade = nn.ModuleList(nn.Sequential(*[RefineBottleneck(c, c) for _ in range(levels - 1 - i)])
                                     for i in range(levels))
        self.final_predict = nn.Sequential(RefineBottleneck(levels * c, c), nn.Conv2d(c, joints, 3, 1, 1, bias=False),
                                           nn.BatchNorm2d(joints))

    def forward(self, features):
        size = features[-1].shape[2:]
        return self.final_predict(torch.cat([resize(f(x), size) for f, x in zip(self.cascade, features)], 1))


class CPN(nn.Module):
    """Chen et al. 2018, named as GengDavid/pytorch-cpn. Maps: the four of GlobalNet coarse to fine, then RefineNet's."""

    def __init__(self, skeleton="coco", depth=50, layers=None, stem=64, channels=256, **_):
        super().__init__()
        joints = SKELETONS[skeleton][0]
        self.resnet = Pyramid(layers or ResNet.LAYERS[depth], stem)
        self.global_net = GlobalNet([32 * stem, 16 * stem, 8 * stem, 4 * stem], channels, joints)
        self.refine_net = RefineNet(channels, joints)

    def forward(self, image):
        features, maps = self.global_net(self.resnet(image))
        return {"maps": [*maps, self.refine_net(features)]}


# ------------------------------------------------------------------------------------------ residual steps network


class Unit(nn.Module):
    """Convolution without bias, batch normalisation and, unless told otherwise, ReLU."""

    def __init__(self, c_in, c_out, k=1, stride=1, relu=True):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, k, stride, k // 2, bias=False)
        self.bn = nn.BatchNorm2d(c_out)
        self.relu = relu

    def forward(self, x):
        x = self.bn(self.conv(x))
        return F.relu(x) if self.relu else x


class StepsBlock(nn.Module):
    """The input in four parts; part i passes i + 1 3x3 convolutions, and the j-th also sees part i - 1's j-th.

    With y[i][j] the output of the j-th of part i: y[i][j] = f(y[i][j-1] + y[i-1][j]), where y[i][-1] is part i itself and
    y[i-1][j] is left out where i = j. The block gives y[0][0], y[1][1], ... side by side through a 1x1, plus the input."""

    STEPS = 4

    def __init__(self, c_in, c_out, stride=1, base=64, expand=26):
        super().__init__()
        width = c_in * expand // base
        self.conv_bn_relu1 = Unit(c_in, self.STEPS * width, 1, stride)
        for i in range(self.STEPS):
            for j in range(i + 1):
                setattr(self, f"conv_bn_relu2_{i + 1}_{j + 1}", Unit(width, width, 3))
        self.conv_bn3 = Unit(self.STEPS * width, c_out, relu=False)
        self.downsample = Unit(c_in, c_out, 1, stride, relu=False) if stride != 1 or c_in != c_out else None

    def forward(self, x):
        parts, above, ends = self.conv_bn_relu1(x).chunk(self.STEPS, 1), [], []
        for i, y in enumerate(parts):
            row = []
            for j in range(i + 1):
                y = getattr(self, f"conv_bn_relu2_{i + 1}_{j + 1}")(y + above[j] if j < i else y)
                row.append(y)
            above = row
            ends.append(y)
        return F.relu(self.conv_bn3(torch.cat(ends, 1)) + (x if self.downsample is None else self.downsample(x)))


class Down(nn.Module):
    """Four stages of blocks of base, 2 base, 4 base, 8 base channels. -> coarse to fine."""

    def __init__(self, blocks, base, expand):
        super().__init__()
        c_in = base
        for i, n in enumerate(blocks):
            c = base * 2 ** i
            layer = [StepsBlock(c_in if k == 0 else c, c, 2 if k == 0 and i > 0 else 1, base, expand) for k in range(n)]
            setattr(self, f"layer{i + 1}", nn.Sequential(*layer))
            c_in = c

    def forward(self, x, skips):
        out = []
        for i in range(4):
            x = getattr(self, f"layer{i + 1}")(x)
            if skips is not None:
                first, second = skips[3 - i]
                x = x + first + second
            out.insert(0, x)
        return out


class UpUnit(nn.Module):
    """One level on the way up; `more` where another stage follows, `last` on the finest level."""

    def __init__(self, c_in, c, base, coarsest, more, last):
        super().__init__()
        self.in_skip = Unit(c_in, c, relu=False)
        self.up_conv = None if coarsest else Unit(c, c, relu=False)
        self.out_skip1, self.out_skip2 = (Unit(c_in, c_in), Unit(c, c_in)) if more else (None, None)
        self.cross_conv = Unit(c, base) if more and last else None

    def forward(self, x, above):
        y = self.in_skip(x)
        if self.up_conv is not None:
            y = y + self.up_conv(resize(above, x.shape[2:]))
        y = F.relu(y)
        skip = None if self.out_skip1 is None else (self.out_skip1(x), self.out_skip2(y))
        return y, skip, None if self.cross_conv is None else self.cross_conv(y)


class Up(nn.Module):
    def __init__(self, c, base, more):
        super().__init__()
        for i in range(4):
            setattr(self, f"up{i + 1}", UpUnit(base * 2 ** (3 - i), c, base, i == 0, more, i == 3))

    def forward(self, stages):
        features, skips, y, cross = [], [], None, None
        for i, x in enumerate(stages):
            y, skip, cross = getattr(self, f"up{i + 1}")(x, y)
            features.append(y)
            skips.append(skip)
        return features, skips, cross


class Stage(nn.Module):
    def __init__(self, blocks, c, base, expand, more):
        super().__init__()
        self.downsample, self.upsample = Down(blocks, base, expand), Up(c, base, more)

    def forward(self, x, skips):
        return self.upsample(self.downsample(x, skips))


class Top(nn.Module):
    def __init__(self, base):
        super().__init__()
        self.top = nn.Sequential(Unit(3, base, 7, 2))

    def forward(self, x):
        return F.max_pool2d(self.top(x), 3, 2, 1)


class RsnBody(nn.Module):
    """-> for each stage its four features, coarse to fine."""

    def __init__(self, stages, blocks, c, base, expand):
        super().__init__()
        self.top = Top(base)
        self.multi_stage_rsn = nn.ModuleList(Stage(blocks, c, base, expand, i + 1 < stages) for i in range(stages))

    def forward(self, image):
        x, skips, out = self.top(image), None, []
        for stage in self.multi_stage_rsn:
            features, skips, x = stage(x, skips)
            out.append(features)
        return out


class RsnPredict(nn.Module):
    def __init__(self, c, joints):
        super().__init__()
        self.conv_layers = nn.Sequential(Unit(c, c), Unit(c, joints, 3, relu=False))

    def forward(self, x, size):
        return resize(self.conv_layers(x), size)


class RsnHead(nn.Module):
    def __init__(self, stages, c, joints):
        super().__init__()
        self.predict_layers = nn.ModuleList(RsnPredict(c, joints) for _ in range(4 * stages))

    def forward(self, stages):
        return [self.predict_layers[4 * s + i](x, features[-1].shape[2:])
                for s, features in enumerate(stages) for i, x in enumerate(features)]


class RSN(nn.Module):
    """Cai et al. 2020, named as mmpose. Maps: four a stage, coarse to fine, all at 1/4. RSN-18: blocks 2 2 2 2; RSN-50:
    3 4 6 3; no Pose Refine Machine (no public checkpoint of mmpose has one)."""

    def __init__(self, skeleton="coco", stacks=1, layers=None, stem=64, channels=256, expand=26, **_):
        super().__init__()
        self.backbone = RsnBody(stacks, layers or (3, 4, 6, 3), channels, stem, expand)
        self.head = RsnHead(stacks, channels, SKELETONS[skeleton][0])

    def forward(self, image):
        return {"maps": self.head(self.backbone(image))}


# -------------------------------------------------------------------------------------- integral pose regression


def expectation(maps):
    """Softmax over each map, then the mean place: [N,J,H,W] -> [N,J,2], x / W - 1/2 and y / H - 1/2 of pixel indices."""
    n, j, h, w = maps.shape
    p = maps.reshape(n, j, h * w).softmax(2).reshape(n, j, h, w)
    x = (p.sum(2) * (torch.arange(w, dtype=p.dtype) + PIXEL_OFFSET)).sum(2) / w
    y = (p.sum(3) * (torch.arange(h, dtype=p.dtype) + PIXEL_OFFSET)).sum(2) / h
    return torch.stack([x, y], 2) - 0.5


class IPR(Pyramid):
    """Sun et al. 2018 in two dimensions: SimpleBaseline's network, name by name, and the expectation of its maps."""

    def __init__(self, skeleton="coco", depth=50, layers=None, stem=64, **_):
        super().__init__(layers or ResNet.LAYERS[depth], stem)
        steps = []
        for i in range(3):
            steps += [nn.ConvTranspose2d((32 if i == 0 else 4) * stem, 4 * stem, 4, 2, 1, bias=False), nn.BatchNorm2d(4 * stem), nn.ReLU()]
        self.deconv_layers = nn.Sequential(*steps)
        self.final_layer = nn.Conv2d(4 * stem, SKELETONS[skeleton][0], 1)

    def forward(self, image):
        maps = self.final_layer(self.deconv_layers(super().forward(image)[0]))
        return {"maps": [maps], "coordinates": expectation(maps)}


def coordinates_l1(pred, target, weight):
    """Sum over joints and axes, mean over the batch."""
    return (weight * (pred - target).abs()).sum() / len(pred)


MODELS = {"hourglass": StackedHourglass, "cpn": CPN, "rsn": RSN, "ipr": IPR}
