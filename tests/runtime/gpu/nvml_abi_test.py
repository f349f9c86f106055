"""NVIDIA's own Python binding of NVML, from PyPI's nvidia-ml-py, on the tests' NVML: since that is built with the
declarations of runtime/gpu/nvml_abi.hpp, it is those that are held against NVIDIA's. Skipped (77) without it."""

import ctypes
import json
import os
import pathlib
import sys
import tempfile
import unittest

sys.path += map(str, pathlib.Path(__file__).resolve().parents[3].glob("build/python/lib/python3*/site-packages"))
try:
    import pynvml
except ImportError:
    print("skipped: no pynvml, which packaging/setup test gets from the package index (nvidia-ml-py)")
    sys.exit(77)

MACHINE = {"driver": "550.54.14", "cuda": 12040, "gpus": [
    {"uuid": "GPU-0", "name": "H100", "brand": 14, "minor": 3, "capability": [9, 0], "memory": 80 << 30,
     "used": 5 << 30, "utilization": 42, "ecc": 7, "remapped": [1, 2, 0, 1], "compute_mode": 2, "xids": [79],
     "processes": [{"pid": 77, "memory": 123456}, {"pid": 78}]},
    {"uuid": "GPU-1", "mig": [{"uuid": "MIG-a", "gi": 5, "ci": 2, "slices": [3, 2], "memory_mib": 40192,
                               "processes": [{"pid": 9, "memory": 8}]}]},
    {"uuid": "GPU-2", "fails": 15}]}


class BindingTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        path = pathlib.Path(cls.scratch.name) / "machine.json"
        path.write_text(json.dumps(MACHINE))
        os.environ["BERTH_TEST_NVML"] = str(path)
        # In place of pynvml.nvmlInit(), which takes no path.
        pynvml.nvmlLib = ctypes.CDLL(os.path.join(os.environ["BERTH_TEST_LIB"], "nvml.so"))

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def setUp(self):
        self.gpu = pynvml.nvmlDeviceGetHandleByIndex(0)

    def test_what_a_gpu_is(self):
        self.assertEqual(pynvml.nvmlSystemGetDriverVersion(), "550.54.14")
        self.assertEqual(pynvml.nvmlSystemGetCudaDriverVersion(), 12040)
        self.assertEqual(pynvml.nvmlDeviceGetCount(), 3)
        self.assertEqual(pynvml.nvmlDeviceGetUUID(self.gpu), "GPU-0")
        self.assertEqual(pynvml.nvmlDeviceGetName(self.gpu), "H100")
        self.assertEqual(pynvml.nvmlDeviceGetBrand(self.gpu), pynvml.NVML_BRAND_NVIDIA)
        self.assertEqual(pynvml.nvmlDeviceGetMinorNumber(self.gpu), 3)
        self.assertEqual(pynvml.nvmlDeviceGetCudaComputeCapability(self.gpu), (9, 0))
        self.assertEqual(pynvml.nvmlDeviceGetComputeMode(self.gpu), pynvml.NVML_COMPUTEMODE_PROHIBITED)

    def test_how_it_is_used(self):
        for version in ({}, {"version": pynvml.nvmlMemory_v2}):
            memory = pynvml.nvmlDeviceGetMemoryInfo(self.gpu, **version)
            self.assertEqual((memory.total >> 30, memory.used >> 30, memory.free >> 30), (80, 5, 75))
        self.assertEqual(pynvml.nvmlDeviceGetUtilizationRates(self.gpu).gpu, 42)
        self.assertEqual([(process.pid, process.usedGpuMemory)
                          for process in pynvml.nvmlDeviceGetComputeRunningProcesses(self.gpu)],
                         [(77, 123456), (78, None)])

    def test_how_it_is(self):
        self.assertEqual(pynvml.nvmlDeviceGetTotalEccErrors(
            self.gpu, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC), 7)
        self.assertEqual(pynvml.nvmlDeviceGetRemappedRows(self.gpu), (1, 2, 0, 1))
        with self.assertRaises(pynvml.NVMLError_GpuIsLost):
            pynvml.nvmlDeviceGetHandleByIndex(2)
        with self.assertRaises(pynvml.NVMLError_NotSupported):
            pynvml.nvmlDeviceGetRemappedRows(pynvml.nvmlDeviceGetHandleByIndex(1))

    def test_xids(self):
        events = pynvml.nvmlEventSetCreate()
        pynvml.nvmlDeviceRegisterEvents(self.gpu, pynvml.nvmlEventTypeXidCriticalError, events)
        event = pynvml.nvmlEventSetWait_v2(events, 0)
        self.assertEqual((event.eventType, event.eventData), (pynvml.nvmlEventTypeXidCriticalError, 79))
        self.assertEqual(pynvml.nvmlDeviceGetUUID(event.device), "GPU-0")
        with self.assertRaises(pynvml.NVMLError_Timeout):
            pynvml.nvmlEventSetWait_v2(events, 0)
        pynvml.nvmlEventSetFree(events)

    def test_mig(self):
        parent = pynvml.nvmlDeviceGetHandleByIndex(1)
        self.assertEqual(pynvml.nvmlDeviceGetMigMode(parent)[0], pynvml.NVML_DEVICE_MIG_ENABLE)
        instance = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(parent, 0)
        attributes = pynvml.nvmlDeviceGetAttributes_v2(instance)
        self.assertEqual((pynvml.nvmlDeviceGetUUID(instance), pynvml.nvmlDeviceGetGpuInstanceId(instance),
                          pynvml.nvmlDeviceGetComputeInstanceId(instance)), ("MIG-a", 5, 2))
        self.assertEqual((attributes.gpuInstanceSliceCount, attributes.computeInstanceSliceCount,
                          attributes.memorySizeMB), (3, 2, 40192))
        with self.assertRaises(pynvml.NVMLError_NotFound):
            pynvml.nvmlDeviceGetMigDeviceHandleByIndex(parent, 1)


if __name__ == "__main__":
    unittest.main()
