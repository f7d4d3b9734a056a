"""A dump of several processes: PyTorch's DistributedDataParallel with normalisation by the statistics of all of them.

    python tools/ddp_dump.py OUT.safetensors [--ranks 2] [the options of ditn_torch.py]

Each rank is a process of the gloo backend on the CPU and has `--batch` pictures. The dump is one of ranks x batch
pictures in the format of ditn_torch.py, so that `ditn verify` checks it as the work of one process:

    input.*, target.*, weight.*, eval.*, train.*   those of the ranks, one behind the other in the order of ranks
    loss.*, trajectory.loss                        the mean over the ranks
    grad.*, stats.*, after.*                       what every rank has: gradients as DistributedDataParallel averages them,
                                                   running statistics, parameters; the same on all ranks, to the bit
    noise.*                                        of the processes' own float32, over the orders of float32_noise.py

torch.nn.SyncBatchNorm takes no tensors of the CPU ("SyncBatchNorm expected input tensor to be on GPU or XPU", PyTorch
2.15). `SynchronisedBatchNorm` below is the same normalisation with an all_reduce that is its own gradient: the mean,
then the mean square of what is left, over the pictures of all ranks; running_var moves by the unbiased variance of that
count.

The script prints how far the processes are from one process with all pictures, in float64 and in float32, by groups of
tensors, and what normalisation by each rank's own statistics makes of it. It ends with an error if float64 differs by
more than rounding. The group `after` says little there: AdamW's first steps go by the sign of a gradient, also where it
is zero but for rounding.

Needs: pip install torch safetensors numpy.
"""

import argparse
import copy
import os
import tempfile

import torch
import torch.distributed as dist
import torch.multiprocessing as processes
import torch.nn as nn
from torch.nn.parallel import DistributedDataParallel

import ditn_torch
from float32_noise import relative_errors

# What float64 may differ by, relative to a whole group. Sums of the same terms in another order differ by some 1e-15,
# and the steps of a trajectory make it more.
ROUNDING = 1e-9
JOINED = ("eval", "train")
MEANS = ("loss", "trajectory")
GROUPS = ("eval", "train", "loss", "grad", "stats", "trajectory")


class SumOverRanks(torch.autograd.Function):
    """The sum of a tensor over all ranks. Every rank's loss depends on every rank's tensor: gradients are summed too."""

    @staticmethod
    def forward(_, x):
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_, gradient):
        return SumOverRanks.forward(_, gradient)


sum_over_ranks = SumOverRanks.apply


class SynchronisedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation by the statistics of all ranks, in training."""

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        over, shape = (0, 2, 3), (1, -1, 1, 1)
        count = sum_over_ranks(x.new_tensor(x.numel() // x.shape[1]))
        mean = sum_over_ranks(x.sum(over)) / count
        centred = x - mean.view(shape)
        variance = sum_over_ranks(centred.square().sum(over)) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return centred * scale.view(shape) + self.bias.view(shape)


def synchronised(model):
    """A copy whose batch normalisations take the statistics of all ranks."""
    model = copy.deepcopy(model)
    for name, m in list(model.named_modules()):
        if isinstance(m, nn.BatchNorm2d):
            new = SynchronisedBatchNorm(m.num_features, m.eps, m.momentum)
            new.load_state_dict(m.state_dict())
            model.set_submodule(name, new)
    return model


class Parallel(DistributedDataParallel):
    """A network in parallel, its parameters under their own names."""

    def named_parameters(self, *args, **kw):
        return self.module.named_parameters(*args, **kw)

    def state_dict(self, *args, **kw):
        return self.module.state_dict(*args, **kw)

    def load_state_dict(self, *args, **kw):
        return self.module.load_state_dict(*args, **kw)


def gathered(tensor):
    """That tensor of every rank, in the order of ranks."""
    tensors = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size())]
    dist.all_gather(tensors, tensor.contiguous())
    return tensors


def evaluate(model, inputs, start, a):
    """What a dump promises, by all ranks together; each calls it with the inputs of all."""
    part = slice(dist.get_rank() * a.batch, (dist.get_rank() + 1) * a.batch)
    # A copy: what DistributedDataParallel hangs onto the parameters goes with it.
    own = ditn_torch.evaluate(Parallel(copy.deepcopy(model)), {k: v[part] for k, v in inputs.items()}, start, a)
    same_statistics = any(isinstance(m, SynchronisedBatchNorm) for m in model.modules())
    out = {}
    for name, tensor in own.items():
        group, all_ranks = name.split(".")[0], gathered(tensor)
        if group in JOINED:
            out[name] = torch.cat(all_ranks)
        elif group in MEANS:
            out[name] = torch.stack(all_ranks).mean(0)
        else:
            if (group != "stats" or same_statistics) and not all(torch.equal(tensor, other) for other in all_ranks):
                raise SystemExit(f"{name} is not the same on all ranks")
            out[name] = tensor
    return out


def compare(model, inputs, start, exact, a):
    """Prints how the processes differ from one process with all pictures, on rank 0. -> the worst of float64"""
    double, one = {k: v.double() for k, v in inputs.items()}, copy.deepcopy(model)
    single = ditn_torch.evaluate(one.double(), double, start, a)
    columns = [
        ("float64", relative_errors(exact, single)),
        ("float32", relative_errors(evaluate(synchronised(model).float(), inputs, start, a), single)),
        ("float32, one process", relative_errors(ditn_torch.evaluate(one.float(), inputs, start, a), single)),
    ]
    if a.batch > 1:  # PyTorch refuses to normalise a single number a channel, as channel attention would have
        own = evaluate(copy.deepcopy(model).double(), double, start, a)
        columns.append(("float64, own statistics", relative_errors(own, single)))
    if dist.get_rank() == 0:
        print(f"{a.ranks} processes of {a.batch} pictures against one process of {a.ranks * a.batch} in float64, "
              "||a-b||/||b|| of groups")
        print(" " * 12 + "".join(f"  {name}" for name, _ in columns))
        for group in (*GROUPS, "after"):
            print(f"{group:<12}" + "".join(f"  {errors[group].item():>{len(name)}.1e}" for name, errors in columns))
    return max(columns[0][1][group].item() for group in GROUPS)


def rank_main(rank, a, meeting):
    """One process."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=a.ranks)
    total = argparse.Namespace(**vars(a) | {"batch": a.ranks * a.batch})
    model, start = ditn_torch.random_model(a)
    inputs = ditn_torch.random_inputs(total)
    exact, noise, orders = ditn_torch.exact_and_noise(synchronised(model), inputs, start, a, evaluate)
    worst = compare(model, inputs, start, exact, a)
    if worst > ROUNDING:
        raise SystemExit(f"the processes differ from one process by {worst:.1e} in float64")
    if rank == 0:
        ditn_torch.write(a.out, inputs, start, exact, noise, vars(total) | {"noise_orders": orders})
    dist.barrier()
    dist.destroy_process_group()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out")
    p.add_argument("--ranks", type=int, default=2, help="processes, each with --batch pictures")
    ditn_torch.add_options(p)
    a = p.parse_args()
    if os.path.exists("/sys/class/net/lo"):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # a machine's name may lead elsewhere, or nowhere
    with tempfile.TemporaryDirectory() as folder:
        processes.spawn(rank_main, (a, os.path.join(folder, "meeting")), nprocs=a.ranks)


if __name__ == "__main__":
    main()
