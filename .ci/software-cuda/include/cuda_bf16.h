#pragma once // device.h has it
