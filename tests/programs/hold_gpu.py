"""A job on its GPUs: takes memory, keeps them busy until it is told to stop, and prints as a line of JSON what it sees.

    hold_gpu.py [MIB]

By PyTorch where it is there, else by the CUDA driver alone. Without CUDA it says so, and only waits."""

import ctypes
import json
import os
import sys
import time

MIB = 1 << 20


class Torch:
    """PyTorch's way: a matrix product over and over."""

    def __init__(self):
        import torch  # pylint: disable=import-outside-toplevel
        if not torch.cuda.is_available():
            raise OSError("PyTorch finds no CUDA")
        self.torch = torch

    def facts(self):
        torch = self.torch
        return {"by": f"torch {torch.__version__}, CUDA {torch.version.cuda}", "count": torch.cuda.device_count(),
                "name": torch.cuda.get_device_name(0)}

    def take(self, size):
        self.held = self.torch.zeros(size, dtype=self.torch.uint8, device="cuda")
        self.matrix = self.torch.rand(4096, 4096, device="cuda")

    def work(self):
        self.matrix = self.torch.tanh(self.matrix @ self.matrix)
        self.torch.cuda.synchronize()


class Driver:
    """The CUDA driver's own functions: memory is set over and over."""

    def __init__(self):
        self.cuda = ctypes.CDLL("libcuda.so.1")
        self.ask("cuInit", 0)
        if self.count() == 0:
            raise OSError("CUDA finds no device")
        self.device = ctypes.c_int()
        self.ask("cuDeviceGet", ctypes.byref(self.device), 0)

    def ask(self, function, *arguments):
        result = getattr(self.cuda, function)(*arguments)
        if result != 0:
            raise OSError(f"{function} fails with {result}")

    def count(self):
        count = ctypes.c_int()
        self.ask("cuDeviceGetCount", ctypes.byref(count))
        return count.value

    def facts(self):
        name = ctypes.create_string_buffer(100)
        self.ask("cuDeviceGetName", name, len(name), self.device)
        version = ctypes.c_int()
        self.ask("cuDriverGetVersion", ctypes.byref(version))
        return {"by": f"libcuda, CUDA {version.value // 1000}.{version.value % 1000 // 10}", "count": self.count(),
                "name": name.value.decode(), "uuid": self.uuid()}

    def uuid(self):
        raw = (ctypes.c_ubyte * 16)()
        self.ask("cuDeviceGetUuid", raw, self.device)
        digits = bytes(raw).hex()
        return "-".join(["GPU", digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]])

    def take(self, size):
        context = ctypes.c_void_p()
        self.ask("cuCtxCreate_v2", ctypes.byref(context), 0, self.device)
        self.size = ctypes.c_size_t(size)
        self.memory = ctypes.c_uint64()
        self.ask("cuMemAlloc_v2", ctypes.byref(self.memory), self.size)

    def work(self):
        for _ in range(100):
            self.ask("cuMemsetD8_v2", self.memory, 7, self.size)
        self.ask("cuCtxSynchronize")


def cuda():
    """The first way that works here, and why the others do not."""
    reasons = []
    for way in (Torch, Driver):
        try:
            return way(), reasons
        except (ImportError, OSError, AttributeError) as reason:
            reasons.append(str(reason))
    return None, reasons


def main():
    size = int(sys.argv[1] if len(sys.argv) > 1 else "1024") * MIB
    way, reasons = cuda()
    facts = {"visible": os.environ.get("CUDA_VISIBLE_DEVICES"), "pid": os.getpid(), "count": 0}
    if way is None:
        facts["without_cuda"] = reasons
    else:
        facts.update(way.facts())
        way.take(size)
        way.work()
        facts["held"] = size
    print(json.dumps(facts), flush=True)
    while True:
        if way is None:
            time.sleep(1)
        else:
            way.work()


if __name__ == "__main__":
    main()
