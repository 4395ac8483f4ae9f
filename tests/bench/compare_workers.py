"""The contestants that run in transformers, each in a process of its own. One
worker loads a checkpoint, runs one prompt once and returns its times and the
memory that it took above the weights."""

import gc
import statistics
import time

import torch
from transformers import AutoModelForCausalLM, DynamicCache, StaticCache

from compare_recalls import Recalls, distribution

WARM_UP_TOKENS = 64


def prompt_tokens(count, vocabulary):
    """The tokens that kvrecall-bench makes."""
    return [(i * 7919 + 13) % vocabulary for i in range(count)]


def set_threads(count):
    torch.set_num_threads(count)


def load(directory, attention, dtype, device="cpu"):
    model = AutoModelForCausalLM.from_pretrained(
        directory, dtype=dtype, attn_implementation=attention).eval()
    if device != "cpu":
        return model.to(device)
    # Weights of its own, not a file's pages that come in as they are used.
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
    gc.collect()
    return model


def status_bytes(field):
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def reset_peak_memory():
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


class HostMemory:
    """Resident bytes of the process."""

    def held(self):
        return status_bytes("VmRSS")

    def peak(self):
        return status_bytes("VmHWM")

    def reset(self):
        reset_peak_memory()


class DeviceMemory:
    """Bytes of the device's allocator."""

    def held(self):
        return torch.cuda.memory_allocated()

    def peak(self):
        return torch.cuda.max_memory_allocated()

    def reset(self):
        torch.cuda.reset_peak_memory_stats()


def clock(device):
    """The time, when the device has done what was asked of it."""
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()


def head_mean(attentions):
    """The last query's rows of all layers, [layers, N] float32."""
    return torch.stack([a[0, :, -1] for a in attentions]).float().mean(1)


class Plain:
    """Inference alone: SDPA, logits of the steps only."""

    def __init__(self, model, cache, capacity):
        self.model = model
        self.cache = (DynamicCache(config=model.config) if cache == "dynamic"
                      else StaticCache(config=model.config,
                                       max_cache_len=capacity))

    def prefill(self, ids):
        # Without the head: the prefill's logits are not wanted.
        self.model.model(input_ids=ids, past_key_values=self.cache,
                         use_cache=True)

    def step(self, ids):
        logits = self.model(input_ids=ids, past_key_values=self.cache,
                            use_cache=True, logits_to_keep=1).logits[0, -1]
        return logits.argmax().view(1, 1)


class Eager:
    """Recalls from output_attentions: the whole prompt in one forward pass."""

    def __init__(self, model, cache, capacity):
        del cache  # always dynamic
        self.model = model
        self.cache = DynamicCache(config=model.config)
        self.layers = model.config.num_hidden_layers
        self.recalls = Recalls(self.layers, capacity)

    def forward(self, module, ids, **options):
        return module(input_ids=ids, past_key_values=self.cache,
                      use_cache=True, output_attentions=True, **options)

    def prefill(self, ids):
        attentions = self.forward(self.model.model, ids).attentions
        self.recalls.begin(torch.stack(
            [a[0].sum(1, dtype=torch.float32).mean(0) for a in attentions]))

    def step(self, ids):
        out = self.forward(self.model, ids, logits_to_keep=1)
        logits = out.logits[0, -1].float()
        entropy, log_p = distribution(logits)
        token = logits.argmax()
        self.record = dict(entropy=entropy, logprob=float(log_p[token]),
                           recalls=self.recalls.observe(
                               head_mean(out.attentions)))
        return token.view(1, 1)


class OneToken(Eager):
    """Recalls from output_attentions, one token per forward pass, so that the
    attention matrix never exists."""

    def prefill(self, ids):
        count = ids.shape[1]
        sums = torch.zeros(self.layers, count)
        for i in range(count):
            attentions = self.forward(self.model.model,
                                      ids[:, i : i + 1]).attentions
            sums[:, : i + 1] += head_mean(attentions)
        self.recalls.begin(sums)


CONTESTANTS = {"sdpa": ("sdpa", Plain), "eager": ("eager", Eager),
               "one-token": ("eager", OneToken)}


def run_text(contestant, ids, steps):
    """Seconds of the prefill and of each step. The last prompt token is the
    first step's."""
    device = ids.device.type
    begin = clock(device)
    contestant.prefill(ids[:, :-1])
    prefill = clock(device) - begin
    seconds, token = [], ids[:, -1:]
    for _ in range(steps):
        begin = clock(device)
        token = contestant.step(token)
        seconds.append(clock(device) - begin)
    return prefill, seconds


@torch.inference_mode()
def measure(mode, checkpoint, prompt, decode, cache, threads, device="cpu"):
    set_threads(threads)
    memory = HostMemory() if device == "cpu" else DeviceMemory()
    attention, kind = CONTESTANTS[mode]
    model = load(checkpoint, attention, torch.bfloat16, device)
    ids = torch.tensor([prompt_tokens(prompt, model.config.vocab_size)],
                       device=device)
    # As in kvrecall-bench: two tokens, then everything else counts.
    run_text(kind(model, cache, 3), ids[:, :2], 1)
    loaded = memory.held()
    memory.reset()
    # Plain inference is warmed up at full length, as kvrecall-bench is; for
    # the others, slower by far, a short text must do.
    warm_up = ids if mode == "sdpa" else ids[:, :WARM_UP_TOKENS]
    run_text(kind(model, cache, prompt + decode), warm_up, 2)
    gc.collect()
    prefill, steps = run_text(kind(model, cache, prompt + decode), ids, decode)
    return {"prefill_seconds": prefill,
            "step_seconds": statistics.median(steps) if steps else 0.0,
            "loaded_bytes": loaded,
            "memory_bytes": memory.peak() - loaded,
            "threads": torch.get_num_threads()}
