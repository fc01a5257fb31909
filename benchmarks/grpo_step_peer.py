"""TRL's GRPOTrainer on the work of grpo_step.py, in an environment of its own. Called by that.

    python grpo_step_peer.py MODEL_FOLDER GROUPS GROUP_SIZE

For each line on the standard input a step is made, and one JSON object printed: seconds, processor
seconds, mean turns and sampled tokens of an episode. When the input ends, the peak of memory.
"""

import json
import os
import resource
import sys
import tempfile
import time

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

FOREVER = 10**6
TURNS = 4
TASKS = 256
MICRO_BATCHES = 4


class Env:
    """The tool, and how often it was called."""

    def reset(self, **kwargs):
        self.calls = 0
        return None

    def count(self, n: int):  # a return type would be told to the model
        """Counts.

        Args:
            n: a number
        """
        self.calls += 1
        return f"ok {n}"


def reward(completions, environments=None, **kwargs):
    """A third for each call, and a little that differs within a group."""
    pairs = zip(environments, completions, strict=True)
    return [env.calls / 3 + sum(map(ord, str(said))) % 7 / 100 for env, said in pairs]


class Trainer(GRPOTrainer):
    """Counts turns and sampled tokens."""

    turns = 0
    tokens = 0

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        result = super()._generate_single_turn(prompt_ids, *args, **kwargs)
        self.turns += len(result[0])
        self.tokens += sum(map(len, result[0]))
        return result


class StepOnDemand(TrainerCallback):
    """Waits for a line, lets one step happen, prints what it took."""

    def __init__(self, out, rollouts):
        self.out, self.rollouts = out, rollouts

    def say(self, **values):
        print(json.dumps(values), file=self.out, flush=True)

    def on_step_begin(self, args, state, control, **kwargs):
        if not sys.stdin.readline():
            self.say(peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
            os._exit(0)
        self.trainer.turns = self.trainer.tokens = 0
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def on_step_end(self, args, state, control, **kwargs):
        self.say(
            seconds=time.perf_counter() - self.wall,
            cpu_s=time.process_time() - self.cpu,
            turns=self.trainer.turns / self.rollouts,
            tokens=self.trainer.tokens / self.rollouts,
        )


def main() -> None:
    folder, groups, group_size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    out, sys.stdout = sys.stdout, sys.stderr
    torch.set_num_threads(1)
    rollouts = groups * group_size
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    tasks = [f"Task {number}: find the answer and count it" for number in range(TASKS)]
    with tempfile.TemporaryDirectory() as scratch:
        config = GRPOConfig(
            output_dir=scratch,
            per_device_train_batch_size=rollouts // MICRO_BATCHES,
            gradient_accumulation_steps=MICRO_BATCHES,
            num_generations=group_size,
            max_completion_length=512,
            max_tool_calling_iterations=TURNS - 1,
            max_steps=FOREVER,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            bf16=False,
            temperature=1.0,
            learning_rate=1e-6,
            beta=0.0,
            gradient_checkpointing=False,
            disable_tqdm=True,
            dataloader_pin_memory=False,
            seed=0,
        )
        stepper = StepOnDemand(out, rollouts)
        trainer = Trainer(
            model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
            reward_funcs=reward,
            args=config,
            train_dataset=Dataset.from_list(
                [{"prompt": [{"role": "user", "content": task}]} for task in tasks]
            ),
            processing_class=tokenizer,
            environment_factory=Env,
            callbacks=[stepper],
        )
        stepper.trainer = trainer
        trainer.train()


if __name__ == "__main__":
    main()
